//go:build linux

package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// restartPause is how long after its end the daemon is started again, as a
// service manager does.
const restartPause = 300 * time.Millisecond

// daemon keeps the product running, as a service manager does: whenever it
// ends, for whatever reason, it is started again.
type daemon struct {
	argv []string
	env  []string
	log  string // file for standard error

	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd has ended
	held    int           // while positive, it is not started
	changed chan struct{} // closed when held becomes another
	starts  int
}

func newDaemon(log string, env []string, argv ...string) *daemon {
	return &daemon{argv: argv, env: env, log: log, changed: make(chan struct{})}
}

// keep runs the daemon until ctx ends, and then ends it.
func (d *daemon) keep(ctx context.Context) error {
	for ctx.Err() == nil {
		exited, changed, err := d.startUnlessHeld()
		if err != nil {
			return err
		}
		if exited == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-exited:
		case <-ctx.Done():
			d.end()
		}
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// startUnlessHeld starts the daemon. If it is held, exited is nil, and changed is closed
// when that may be over. Who holds it and then ends it can be sure that none comes up.
func (d *daemon) startUnlessHeld() (exited, changed <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held > 0 {
		return nil, d.changed, nil
	}
	exited, err = d.start()
	return exited, nil, err
}

// start starts the daemon. The caller holds d.mu.
func (d *daemon) start() (<-chan struct{}, error) {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(d.argv[0], d.argv[1:]...)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	fmt.Fprintf(log, "== start %s\n", time.Now().UTC().Format(time.RFC3339Nano))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	d.starts++
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return exited, nil
}

// hold keeps the daemon from being started, until release was called as often.
func (d *daemon) hold() { d.holdBy(1) }

func (d *daemon) release() { d.holdBy(-1) }

func (d *daemon) holdBy(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held += n
	close(d.changed)
	d.changed = make(chan struct{})
}

// signal sends a signal to the daemon, if it runs, and gives what is closed at
// its end.
func (d *daemon) signal(s syscall.Signal) <-chan struct{} {
	d.mu.Lock()
	cmd, exited := d.cmd, d.exited
	d.mu.Unlock()
	if cmd == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	select {
	case <-exited:
	default:
		_ = cmd.Process.Signal(s)
	}
	return exited
}

// running is the process, and which start of the daemon it is.
func (d *daemon) running() (pid, start int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return 0, d.starts
	}
	return d.cmd.Process.Pid, d.starts
}

// kill ends the daemon at once, and returns when it has ended.
func (d *daemon) kill() { <-d.signal(syscall.SIGKILL) }

// end asks the daemon to end, and kills it when it does not within 20 seconds.
func (d *daemon) end() (inTime bool) {
	d.signal(syscall.SIGCONT)
	select {
	case <-d.signal(syscall.SIGTERM):
		return true
	case <-time.After(20 * time.Second):
		d.kill()
		return false
	}
}

// tryOnce starts the daemon although it is held, and ends it if it has not
// ended by itself by then.
func (d *daemon) tryOnce(ctx context.Context, within time.Duration) {
	d.mu.Lock()
	exited, err := d.start()
	d.mu.Unlock()
	if err != nil {
		return
	}
	select {
	case <-exited:
	case <-ctx.Done():
		d.kill()
	case <-time.After(within):
		d.end()
	}
}

// crash gives what the log tells of a panic or a data race.
func (d *daemon) crash() error {
	log, err := os.ReadFile(d.log)
	if err != nil {
		return err
	}
	for _, sign := range []string{"panic:", "fatal error:", "DATA RACE", "unexpected fault address"} {
		if i := bytes.Index(log, []byte(sign)); i >= 0 {
			return errors.New(string(log[i:min(len(log), i+2000)]))
		}
	}
	return nil
}
