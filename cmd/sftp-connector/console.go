package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// console asks whoever sits at the terminal. Several connectors may have questions at
// once: they are asked one after the other, and nothing is drawn over them.
type console struct {
	out   io.Writer
	turn  chan struct{} // holds one: whoever has it may ask
	lines func() <-chan string

	mu    sync.Mutex
	asked bool // a question stands and waits for its answer
}

func newConsole(in io.Reader, out io.Writer) *console {
	c := &console{out: out, turn: make(chan struct{}, 1)}
	// One reader for all questions, from the first on. A read from a terminal
	// cannot be interrupted; it ends with the program.
	c.lines = sync.OnceValue(func() <-chan string {
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
	return c
}

// confirm says something, and asks whether to trust it. Anything but a yes,
// also the end of the input, is a no.
func (c *console) confirm(ctx context.Context, what string) (bool, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	c.ask(what + "Trust it (yes/no)? ")
	defer c.answered()
	select {
	case line := <-c.lines():
		return strings.EqualFold(strings.TrimSpace(line), "yes"), nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (c *console) ask(question string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = true
	fmt.Fprint(c.out, question)
}

func (c *console) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = false
}

// Write draws what will be drawn anew soon, such as a bar: it is left out while
// a question stands.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked {
		return len(b), nil
	}
	return c.out.Write(b)
}
