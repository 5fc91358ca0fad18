package credentialsapi

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// defaultTimeout bounds a fetch, from the look-up of the name to the end of the answer.
const defaultTimeout = 30 * time.Second

// Options are where the API is, and who asks it.
type Options struct {
	URL       string         // https, or http to this machine; a query that it has stays
	SecretKey string         // sent with every request
	SpaceID   string         // whose login it is
	Timeout   time.Duration  // of a fetch; 0: 30 s
	RootCAs   *x509.CertPool // whom to trust for https; nil: the system's
}

// Client fetches logins. It may be used concurrently. Close it at the end.
type Client struct {
	target    string // the URL without what may be secret, for errors
	request   string // the URL as it is asked
	secretKey string
	timeout   time.Duration
	transport *http.Transport

	mu     sync.Mutex
	cached Login
	flight *flight // the fetch under way; nil: none
	closed bool
	flying sync.WaitGroup
}

// flight is a fetch and those who wait for it.
type flight struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{} // closed when login and err are there
	login   Login
	err     error
}

var errClosed = errors.New("the client is closed")

// New makes a Client; it asks nothing yet. Its errors are about the options, and
// show neither the secret key nor a user name, password or query of the URL.
func New(o Options) (*Client, error) {
	u, err := checkURL(o.URL)
	if err != nil {
		return nil, err
	}
	if !headerSafe(o.SecretKey) {
		return nil, errors.New("credentials_api.secret_key is empty or has characters that no key has, such as a line break")
	}
	if o.SpaceID == "" {
		return nil, errors.New("credentials_api.space_id is empty")
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	local := isLoopback(u.Hostname())
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	query := u.Query()
	query.Set("spaceId", o.SpaceID)
	u.RawQuery = query.Encode()
	return &Client{
		target: shown.String(), request: u.String(), secretKey: o.SecretKey, timeout: o.Timeout,
		transport: newTransport(u.Scheme, local, o.RootCAs),
	}, nil
}

// Format shows where it asks, whatever the verb, and no secret.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "credentials API "+c.target)
}

// Login gives the login, and fetches it if there is none. Callers who come
// meanwhile share the fetch; it ends when the last of them has gone. A failure
// is a *status.Error and is not kept: the next call tries again.
func (c *Client) Login(ctx context.Context) (Login, error) {
	c.mu.Lock()
	if c.cached.password != nil || c.closed {
		defer c.mu.Unlock()
		if c.closed {
			return Login{}, c.fail(errClosed)
		}
		return c.cached, nil
	}
	f := c.flight
	if f == nil {
		f = c.start()
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.login, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if c.flight == f {
			c.flight = nil // who comes now is not to get its end
		}
	}
	return Login{}, c.fail(ctx.Err())
}

// start begins a fetch. A mutex is held.
func (c *Client) start() *flight {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	c.flight = f
	c.flying.Go(func() {
		defer cancel()
		login, err := c.fetch(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		f.login, f.err = login, err
		if c.flight == f {
			c.flight = nil
			c.cached = login // the zero Login upon an error
		}
		close(f.done)
	})
	return f
}

// Refused says that the SFTP server did not take l: the next Login fetches
// another, unless somebody has done so since l was given.
func (c *Client) Refused(l Login) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.password != nil && c.cached.password == l.password {
		c.cached = Login{}
	}
}

// Close ends a fetch that is under way, waits for it, and forgets the login.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed, c.cached = true, Login{}
	if c.flight != nil {
		c.flight.cancel()
		c.flight = nil
	}
	c.mu.Unlock()
	c.flying.Wait()
	c.transport.CloseIdleConnections()
	return nil
}
