package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// person is who sits at the terminal. Several connectors may have questions at
// once: they are asked one after the other, and nothing is drawn over them.
type person struct {
	out   io.Writer
	turn  chan struct{} // holds one: whoever has it may ask
	lines func() <-chan string

	mu    sync.Mutex
	asked bool // a question stands and waits for its answer
}

func newPerson(in io.Reader, out io.Writer) *person {
	p := &person{out: out, turn: make(chan struct{}, 1)}
	// One reader for all questions, from the first on. A read from a terminal
	// cannot be interrupted; it ends with the program.
	p.lines = sync.OnceValue(func() <-chan string {
		lines := make(chan string)
		go func() {
			defer close(lines)
			for r := bufio.NewReader(in); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				lines <- line
			}
		}()
		return lines
	})
	return p
}

// confirm says something, and asks whether to trust it. Anything but a yes,
// also the end of the input, is a no.
func (p *person) confirm(ctx context.Context, what string) (bool, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { <-p.turn }()
	p.ask(what + "Trust it (yes/no)? ")
	defer p.answered()
	select {
	case line := <-p.lines():
		return strings.EqualFold(strings.TrimSpace(line), "yes"), nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (p *person) ask(question string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = true
	fmt.Fprint(p.out, question)
}

func (p *person) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = false
}

// Write draws what will be drawn anew soon, such as a bar: it is left out while
// a question stands.
func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return len(b), nil
	}
	return p.out.Write(b)
}
