package sshclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxAgentKeys is how many keys of an agent are offered: each is a failed login for
// the server, which takes six as a rule and may lock the user out.
const maxAgentKeys = 16

// agentSigners gives the keys of the SSH agent at SSH_AUTH_SOCK. They sign until
// hangUp is called, ctx ends, or the time for a handshake is over: an agent may
// ask its user.
func agentSigners(ctx context.Context, cfg Config) (signers []ssh.Signer, hangUp func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Handshake)
	conn, err := dialAgent(ctx, os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		cancel()
		return nil, nil, &loginError{
			text: fmt.Sprintf("the SSH agent cannot be reached: %v", err),
			hint: "Start ssh-agent, load the key with ssh-add, and give this program the agent's SSH_AUTH_SOCK.",
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	hangUp = func() {
		stop()
		cancel()
		_ = conn.Close()
	}
	keys, err := agent.NewClient(&endedBy{ctx, conn}).Signers()
	for _, key := range keys {
		if modern, merr := modernSigner(key, cfg.LegacyAlgorithms); merr == nil {
			signers = append(signers, modern)
		}
	}
	switch {
	case err != nil:
		err = fmt.Errorf("the SSH agent does not give its keys: %w", cmp.Or(context.Cause(ctx), err)) // a closed socket is what its end looks like
	case len(signers) == 0:
		err = &loginError{text: "the SSH agent has no key", hint: "Load the key with ssh-add."}
	}
	if err != nil {
		hangUp()
		return nil, nil, err
	}
	return signers, hangUp, nil
}

// endedBy is a stream whose reads and writes end with ctx, also where closing it does
// not end them: the pipe of an agent on Windows need not.
type endedBy struct {
	ctx context.Context
	io.ReadWriter
}

func (e *endedBy) Read(p []byte) (int, error) {
	buf := make([]byte, len(p)) // p is the caller's again when ctx ends
	n, err := e.await(func() (int, error) { return e.ReadWriter.Read(buf) })
	return copy(p, buf[:n]), err
}

func (e *endedBy) Write(p []byte) (int, error) {
	buf := bytes.Clone(p)
	return e.await(func() (int, error) { return e.ReadWriter.Write(buf) })
}

func (e *endedBy) await(do func() (int, error)) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := do()
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-e.ctx.Done():
		return 0, context.Cause(e.ctx)
	}
}

const (
	windowsAgent = `\\.\pipe\openssh-ssh-agent` // where the agent of Windows is
	overlapped   = 0x40000000                   // FILE_FLAG_OVERLAPPED: closing the pipe ends a read
)

func dialAgent(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	if windows := os.PathSeparator == '\\'; windows && (path == "" || strings.HasPrefix(path, `\\.\pipe\`)) {
		return os.OpenFile(cmp.Or(path, windowsAgent), os.O_RDWR|overlapped, 0)
	}
	if path == "" {
		return nil, errors.New("SSH_AUTH_SOCK is not set")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, cause(err)
	}
	return conn, nil
}
