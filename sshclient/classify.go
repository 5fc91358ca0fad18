package sshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"sftpconnector/status"

	"golang.org/x/crypto/ssh"
)

// This file maps failures to words of the Connection Status: by the type of the error
// where there is one, and otherwise by the stage.

// Error numbers of Winsock, which package syscall has under other names.
const (
	wsaNetUnreach  = syscall.Errno(10051)
	wsaRefused     = syscall.Errno(10061)
	wsaHostUnreach = syscall.Errno(10065)
)

// resolveError is a failure to resolve the host's name.
func resolveError(host string, err error) error {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		err = errors.New("no such host")
	} else if isTimeout(err) {
		err = fmt.Errorf("the name server does not answer: %w", err)
	}
	return &status.Error{Word: status.HostNotFound, Op: "resolve", Target: host, Err: err}
}

// connectError is a failure to connect. A host that is silent or unreachable is a
// timeout; anything else is a refusal.
func connectError(addr string, err error, limit time.Duration) error {
	word := status.ConnectionRefused
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		word, err = status.ConnectionTimedOut, &timeoutError{limit, "no answer"}
	case isTimeout(err), isUnreachable(err):
		word = status.ConnectionTimedOut
	case errors.Is(err, context.Canceled):
		word = status.ConnectionLost
	}
	return &status.Error{Word: word, Op: "connect to", Target: addr, Err: cause(err)}
}

// forwardError is the error of a jump host that does not reach the server. The reason
// is a number of RFC 4254, section 5.1, with a text. OpenSSH's texts are those of
// strerror and getaddrinfo.
func forwardError(addr string, err error, limit time.Duration) error {
	refused, ok := errors.AsType[*ssh.OpenChannelError](err)
	if !ok {
		return atJump(connectError(addr, err, limit))
	}
	word := status.ConnectionRefused
	text := strings.ToLower(refused.Message)
	err = fmt.Errorf("it cannot: %s", Printable([]byte(refused.Message)))
	switch {
	case refused.Reason == ssh.Prohibited:
		err = errors.New("it does not allow forwarding to there")
	case strings.Contains(text, "timed out"), strings.Contains(text, "unreachable"), strings.Contains(text, "no route"):
		word = status.ConnectionTimedOut
	case strings.Contains(text, "not known"), strings.Contains(text, "unknown host"),
		strings.Contains(text, "resol"), strings.Contains(text, "no address"):
		word = status.HostNotFound
	}
	return atJump(&status.Error{Word: word, Op: "connect to", Target: addr, Err: err})
}

// atJump marks an error of the jump host, or of the way to it.
func atJump(err error) error {
	if e, ok := errors.AsType[*status.Error](err); ok {
		at := &status.Error{Word: e.Word, Op: "jump host: " + e.Op, Target: e.Target, Err: e.Err, Hint: e.Hint}
		if at.Advice() == e.Word.Hint() {
			at.Hint = jumpHint(e.Word)
		}
		return at
	}
	return err
}

// jumpHint is the hint for an error of a jump host, where the word's own hint is about
// the server behind it.
func jumpHint(w status.Word) string {
	switch w {
	case status.HostNotFound, status.ConnectionRefused, status.ConnectionTimedOut, status.NotAnSSHServer:
		return "Check host and port of sftp.proxy_jump, that a firewall lets this machine reach them, and that the jump host may reach sftp.host and sftp.port."
	case status.AuthenticationFailed:
		return "Verify the login on the jump host: the user in sftp.proxy_jump, and sftp.proxy_jump_password or sftp.proxy_jump_key_pairs_path (or else the connector's key)."
	}
	return ""
}

// handshakeError explains a handshake that failed in h.stage.
func handshakeError(h *clientHandshake, cfg Config, err error) error {
	if e, ok := errors.AsType[*status.Error](err); ok {
		return e
	}
	for _, signal := range []error{errFetched, errNotPinned} {
		if errors.Is(err, signal) {
			return signal
		}
	}
	if c := h.t.abortCause(); c != nil && !errors.Is(c, net.ErrClosed) {
		err = c
	}
	if h.stage == status.StageAuthenticate {
		return &status.Error{Word: authWord(h.auth, err), Op: "log in to", Target: cfg.Addr(), Err: authCause(h.auth, err)}
	}
	if none, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok {
		if len(h.check.tried) > 0 && none.What == "host key" {
			h.stages.hold(status.StageHandshake, h.t.greeting.said())
			h.stage = status.StageHostKey
			return h.check.noneLeft()
		}
		return &status.Error{Word: status.NoCommonAlgorithm, Op: "handshake with", Target: cfg.Addr(), Err: newNegotiationError(none, cfg.LegacyAlgorithms)}
	}
	word, err := greetingError(&h.t.greeting, err)
	return &status.Error{Word: word, Op: "handshake with", Target: cfg.Addr(), Err: err}
}

// greetingError is a failure before the host key. The server's greeting tells whether
// it is an SSH server.
func greetingError(g *greeting, err error) (status.Word, error) {
	foreign, isForeign := errors.AsType[*notSSHError](err)
	refusing, isRefusing := errors.AsType[*refusingError](err)
	bye, said := disconnectOf(err)
	switch {
	case said:
		return status.ConnectionRefused, bye
	case isForeign:
		return status.NotAnSSHServer, foreign
	case isRefusing:
		return status.ConnectionRefused, refusing
	case errors.Is(err, context.Canceled):
		return status.ConnectionLost, err
	case isTimeout(err) && g.got && !g.done:
		return status.NotAnSSHServer, &notSSHError{g.said()}
	case isTimeout(err):
		return status.ConnectionTimedOut, err
	case !g.done:
		return status.NotAnSSHServer, &notSSHError{g.said()}
	case isClosed(err):
		return status.ConnectionLost, errors.New("the server closed the connection during the handshake")
	}
	return status.NotAnSSHServer, &brokenProtocolError{fmt.Errorf("it does not keep to the protocol: %w", err)}
}

// authWord is the word of a failure in the login. It is about the login, unless the
// server fell silent.
func authWord(a *authenticator, err error) status.Word {
	_, bye := disconnectOf(err)
	switch {
	case isTimeout(err):
		return status.ConnectionTimedOut
	case errors.Is(err, context.Canceled):
		return status.ConnectionLost
	case bye && !a.tried():
		return status.ConnectionRefused
	case isClosed(err) && !a.tried() && a.err == nil:
		return status.ConnectionLost
	}
	return status.AuthenticationFailed
}

func authCause(a *authenticator, err error) error {
	bye, said := disconnectOf(err)
	switch {
	case isTimeout(err), errors.Is(err, context.Canceled):
		return err
	case said && !a.tried():
		return bye
	case said:
		a.note(bye.text)
	case isClosed(err) && a.err == nil && !a.tried():
		return errors.New("the server closed the connection before the login")
	case isClosed(err) && a.err == nil:
		return a.closed()
	}
	return a.refusal(err)
}

// lostError is the end of a connection that was established.
func lostError(addr string, err error) error {
	if e, ok := errors.AsType[*status.Error](err); ok {
		return e
	}
	if bye, said := disconnectOf(err); said {
		err = bye
	}
	// The SSH layer closes a connection that the server has ended, and may report its
	// own close.
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		err = errors.New("the server closed the connection")
	}
	if err = cause(err); strings.HasPrefix(err.Error(), "ssh: ") { // what x/crypto says of what it was sent
		err = &brokenProtocolError{err}
	}
	return &status.Error{Word: status.ConnectionLost, Op: "connection to", Target: addr, Err: err}
}

// cause takes the operation off an error of package net, as our error has it already.
func cause(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	return err
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func isRefused(err error) bool {
	e, ok := errors.AsType[syscall.Errno](err)
	return ok && (e == syscall.ECONNREFUSED || e == wsaRefused)
}

func isUnreachable(err error) bool {
	e, ok := errors.AsType[syscall.Errno](err)
	return ok && (e == syscall.EHOSTUNREACH || e == syscall.ENETUNREACH || e == wsaHostUnreach || e == wsaNetUnreach)
}

// isClosed reports whether the peer ended the connection without an SSH message.
func isClosed(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}
