package credentialsapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"sftpconnector/status"
)

// This file says in words of our own what went wrong: the errors of net/http
// repeat what a server has sent, and URLs with what is secret in them.

// Numbers of Winsock, where package syscall has others under these names.
const (
	wsaNetUnreach  = syscall.Errno(10051)
	wsaReset       = syscall.Errno(10054)
	wsaRefused     = syscall.Errno(10061)
	wsaHostUnreach = syscall.Errno(10065)
)

var (
	errElsewhere = errors.New("localhost is not this machine, and secret_key is not sent in clear over the network")
	errProtocol  = errors.New("what answers does not speak HTTP as it should")
)

// proxyError is a failure of the environment's proxy.
type proxyError string

func (e proxyError) Error() string { return string(e) }

// late is the end of somebody's patience: of a fetch's, if it is known.
type late time.Duration

func (l late) Error() string {
	if l == 0 {
		return "no answer in time"
	}
	return fmt.Sprintf("no answer within %v", time.Duration(l))
}

// Unwrap makes it a context.DeadlineExceeded.
func (l late) Unwrap() error { return context.DeadlineExceeded }

// refusal is an answer with a status that is no success.
type refusal struct {
	code  int
	title string // of the problem, quoted; "": none
}

func (r *refusal) Error() string {
	text := "the API answers " + codeText(r.code)
	if r.code >= 300 && r.code <= 399 {
		text += ", and redirects are not followed: use the URL that it leads to"
	}
	if r.title != "" {
		text += ": " + r.title
	}
	return text
}

func codeText(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("%d %s", code, text)
	}
	return fmt.Sprint(code)
}

// unusable is an answer without a login in it.
type unusable struct{ err error }

func (u *unusable) Error() string { return "the answer " + u.err.Error() }

// fail gives the error of a fetch its word.
func (c *Client) fail(err error) error {
	word, cause := classify(err)
	return &status.Error{Word: word, Op: "fetch credentials from", Target: c.target, Err: cause, Hint: hint(word)}
}

// classify sorts what went wrong; the second result is fit to be shown.
func classify(err error) (status.Word, error) {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.word(), refused
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		word, cause := classify(op.Err)
		return word, fmt.Errorf("the proxy of the environment: %w", cause)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
			return status.HostNotFound, errors.New("the name server does not answer")
		}
		return status.HostNotFound, errors.New("no such host")
	}
	if why := certificateProblem(err); why != nil {
		return status.HostKeyVerificationFailed, why
	}
	if word, why := brokenConnection(err); why != nil {
		return word, why
	}
	if word, why := ended(err); why != nil {
		return word, why
	}
	if errors.Is(err, errElsewhere) {
		return status.SFTPUnavailable, errElsewhere
	}
	if bad, ok := errors.AsType[*unusable](err); ok {
		return status.SFTPUnavailable, bad
	}
	if bad, ok := errors.AsType[proxyError](err); ok {
		return status.SFTPUnavailable, bad
	}
	return status.SFTPUnavailable, errProtocol
}

// ended is a call that took too long or was given up.
func ended(err error) (status.Word, error) {
	for _, own := range []error{errClosed, context.Canceled} {
		if errors.Is(err, own) {
			return status.ConnectionLost, own
		}
	}
	if slow, ok := errors.AsType[late](err); ok {
		return status.ConnectionTimedOut, slow
	}
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	if ok && timeout.Timeout() { // context.DeadlineExceeded is one too
		return status.ConnectionTimedOut, late(0)
	}
	return "", nil
}

// word: what may pass is as if nobody answered; what will not is about the key,
// the Space or the URL.
func (r *refusal) word() status.Word {
	switch {
	case r.code == http.StatusRequestTimeout, r.code == http.StatusGatewayTimeout:
		return status.ConnectionTimedOut
	case r.code == http.StatusTooManyRequests, r.code >= 500:
		return status.ConnectionRefused
	case r.code == http.StatusUnauthorized, r.code == http.StatusForbidden:
		return status.AuthenticationFailed
	}
	return status.SFTPUnavailable
}

// brokenConnection is a connection that was refused, or broke.
func brokenConnection(err error) (status.Word, error) {
	number, _ := errors.AsType[syscall.Errno](err)
	switch number {
	case syscall.ECONNREFUSED, wsaRefused:
		return status.ConnectionRefused, errors.New("connection refused")
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, wsaHostUnreach, wsaNetUnreach:
		return status.ConnectionTimedOut, errors.New("there is no way to the host")
	case syscall.ETIMEDOUT:
		return status.ConnectionTimedOut, late(0)
	case syscall.ECONNRESET, syscall.EPIPE, wsaReset:
		return status.ConnectionLost, errors.New("the connection was cut")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return status.ConnectionLost, errors.New("the server closed the connection before it had answered")
	}
	return "", nil
}

// certificateProblem says why a server's certificate is not accepted, or nil.
func certificateProblem(err error) error {
	failed, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return nil
	}
	if _, ok := errors.AsType[x509.HostnameError](failed.Err); ok {
		return errors.New("the server's certificate is for another name")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](failed.Err); ok {
		return errors.New("the server's certificate is signed by an unknown authority")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](failed.Err); ok && invalid.Reason == x509.Expired {
		return errors.New("the server's certificate has expired or is not valid yet")
	}
	return errors.New("the server's certificate is not valid")
}

// hint is what to check next; those of the words are about the SFTP server.
func hint(w status.Word) string {
	switch w {
	case status.HostNotFound:
		return "Check the spelling of sftp.credentials_api.url, and that this machine's DNS resolves it."
	case status.ConnectionRefused:
		return "Check that the API is running and not overloaded, sftp.credentials_api.url, and your firewall settings."
	case status.ConnectionTimedOut:
		return "Check that a firewall lets this machine reach sftp.credentials_api.url, and that the API is not overloaded."
	case status.AuthenticationFailed:
		return "Verify sftp.credentials_api.secret_key and space_id: the key may have been replaced, or be for other Spaces."
	case status.HostKeyVerificationFailed:
		return "Have the certificate of the API's server put right, or its authority added to those that this machine trusts."
	case status.ConnectionLost:
		return "The connection to the API broke: check the network; the next pass tries again."
	}
	return "Check that sftp.credentials_api.url is the one that gives SFTP credentials, and sftp.credentials_api.space_id."
}
