package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sftpconnector/interapp"
)

const (
	tryTimeout = 30 * time.Second // from the look-up of the name to the end of the answer
	slowest    = 256 << 10        // bytes of a body that add a second to that
	maxAnswer  = 64 << 10         // bytes of an answer's header, and of its body, that are read
)

// ErrGone is in the chain of an error of Post when the receiver answered 410:
// it is never to be told again.
var ErrGone = errors.New("answers 410 Gone")

// Message is something to post.
type Message struct {
	URL   string
	Event string // interapp.EventReply or interapp.EventDeliveries
	Key   string // the Idempotency-Key: the same whenever the same is posted
	Token string // name of the token that asked for it, and signs it; "" for none
	Body  []byte // JSON
	// Cursor is the last delivery that the message tells of.
	Cursor int64
}

// Settings are what a reload of the configuration may change.
type Settings struct {
	Allow Allow
	// Secret gives the token of that name; ok is false when none is configured.
	Secret func(token string) (secret string, ok bool)
}

// Poster posts messages. It may be used concurrently.
//
// It follows no redirects, takes no proxy from the environment, and looks at
// nothing of an answer but its status: the answer may come from a program that
// does not know that it was called.
type Poster struct {
	settings atomic.Pointer[Settings]
	client   *http.Client
	resolver *net.Resolver
}

// NewPoster makes a Poster. Close it when it is not used any more.
func NewPoster(s Settings) *Poster {
	p := &Poster{resolver: net.DefaultResolver}
	p.Configure(s)
	p.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            p.dial,
			TLSHandshakeTimeout:    10 * time.Second,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
	}
	return p
}

// Configure replaces the settings, for every Post and Check that begins later.
func (p *Poster) Configure(s Settings) { p.settings.Store(&s) }

// Check is Allow.Check with the present list.
func (p *Poster) Check(rawURL string) error { return p.settings.Load().Allow.Check(rawURL) }

// Close closes the connections that are kept for later.
func (p *Poster) Close() { p.client.CloseIdleConnections() }

// Post makes one try, of at most 30 seconds and a second for each 256 KiB of the
// body. Every 2xx is a success; after ErrGone no other try should be made. An
// error shows of the URL no more than scheme, host and port, and never a secret.
func (p *Poster) Post(ctx context.Context, m Message) error {
	settings := p.settings.Load()
	if err := settings.Allow.Check(m.URL); err != nil {
		return err
	}
	within := tryTimeout + time.Duration(len(m.Body)/slowest)*time.Second
	try, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := http.NewRequestWithContext(try, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return errors.New("reply_to is not a URL that can be posted to")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "sftp-connector")
	r.Header.Set(interapp.EventHeader, m.Event)
	r.Header.Set(interapp.IdempotencyHeader, m.Key)
	if m.Token != "" {
		secret, ok := settings.Secret(m.Token)
		if !ok {
			return fmt.Errorf("the token %q, which asked for it and has to sign it, is in server.tokens no more: put it back", m.Token)
		}
		r.Header.Set(interapp.SignatureHeader, interapp.Sign(secret, time.Now(), m.Body))
	}
	if err := p.send(r, within); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("post to %s://%s: %w", r.URL.Scheme, r.URL.Host, err)
	}
	return nil
}

// send makes the call, which may take as long as within, and judges its status.
func (p *Poster) send(r *http.Request, within time.Duration) error {
	answer, err := p.client.Do(r)
	if err != nil {
		if errors.Is(r.Context().Err(), context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %v", within)
		}
		return plain(err)
	}
	defer answer.Body.Close()
	// A connection can be kept only when its answer was read. Whether that
	// succeeds is of no interest: the status is the answer.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	switch code := answer.StatusCode; {
	case code >= 200 && code <= 299:
		return nil
	case code == http.StatusGone:
		return ErrGone
	case code >= 300 && code <= 399:
		return fmt.Errorf("answers %d %s, and redirects are not followed: use the URL that it leads to", code, http.StatusText(code))
	default:
		return fmt.Errorf("answers %d %s", code, http.StatusText(code))
	}
}

// plain makes an error of net/http one that can be shown. Some repeat the URL,
// others what the far side sent, which may be an echo of all that it got.
func plain(err error) error {
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network
	}
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted
	}
	return errors.New("there is no answer in HTTP: check scheme and port")
}

// dial connects to the host of a URL that Check has allowed.
func (p *Poster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Resolver: p.resolver, Timeout: 10 * time.Second, ControlContext: control(host)}
	return d.DialContext(ctx, network, address)
}
