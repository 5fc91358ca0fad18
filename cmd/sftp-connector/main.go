// Command sftp-connector copies files between SFTP servers and local directories or
// network shares, and receives uploads. See 'sftp-connector help', and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // it could not be done
	exitUsage   = 2 // wrong usage or configuration
	exitPartial = 3 // done, but for some files
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	go tuneMemory(context.Background())
	os.Exit(Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Main is the program without its process: it runs the verb that args name and
// gives the exit code. When ctx ends, it stops cleanly.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, output: output{stdout: stdout, stderr: stderr, console: newConsole(stdin, stderr)}}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitUsage // what cobra itself finds wrong is the usage
	if coded, ok := errors.AsType[*exitError](err); ok {
		code = coded.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "sftp-connector: "+text)
	}
	return code
}

// exitError is an error that ends the program with a certain code. Without a
// cause the program has said already what there is to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failed is an error with the exit code 1; nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitFailed, err}
}

// usage is an error with the exit code 2.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}
