package interapp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// pollWait is how long the server is asked to wait for a reply at a time:
// shorter than the minute after which proxies take a connection for dead.
const pollWait = 50 * time.Second

// The pause after an ask that brought no reply, from the first to the longest. It is
// here and not in package backoff, as this package imports the standard library only.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Request asks a connector for files and waits for the reply, which may say
// that it was no success.
//
// It asks again when the connection breaks, when the server cannot be reached,
// and when it answers 502, 503 or 504, for as long as ctx lasts; the id makes
// sure that the work is done once. Without an id in r it makes one. When ctx
// ends, the request goes on at the server: see CancelRequest, and Timeout in r.
func (c *Client) Request(ctx context.Context, connector string, r Request) (Reply, error) {
	if r.ID == "" {
		r.ID = strings.ToLower(rand.Text())
	}
	reply, err := c.insist(ctx, connector, r)
	return reply, wrap(err, fmt.Sprintf("request %s of %s", r.ID, connector))
}

// insist asks until there is a reply, a refusal, or the end of ctx.
func (c *Client) insist(ctx context.Context, connector string, r Request) (Reply, error) {
	query := url.Values{"wait": {pollWait.String()}}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		var out struct {
			Reply
			State string `json:"state"` // of a request that has no reply yet
		}
		asked := time.Now()
		err := c.call(ctx, pollWait+callTimeout, http.MethodPost, query, r, &out, "connectors", connector, "requests")
		if err == nil && out.State == "" {
			return out.Reply, nil
		}
		if err != nil && !passing(err) {
			return Reply{}, err
		}
		if time.Since(asked) > longestPause { // it is there, and waited
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if err == nil || errors.Is(err, ctx.Err()) {
				return Reply{}, ctx.Err()
			}
			return Reply{}, fmt.Errorf("%w; the last try: %w", ctx.Err(), err)
		}
	}
}

// passing reports whether an error may be gone when the same is asked again.
func passing(err error) bool {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status == http.StatusBadGateway || p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	_, network := errors.AsType[net.Error](err) // those of http.Client are, too
	return network || errors.Is(err, io.ErrUnexpectedEOF)
}

// StartRequest asks a connector for files and does not wait: the RequestState
// says under which id to look, or to cancel. It is not repeated; with an id in r
// that is safe to do.
func (c *Client) StartRequest(ctx context.Context, connector string, r Request) (RequestState, error) {
	var out RequestState
	err := c.call(ctx, callTimeout, http.MethodPost, nil, r, &out, "connectors", connector, "requests")
	return out, wrap(err, "request of "+connector)
}

// RequestState gives a request as it stands, with its reply when it has ended.
func (c *Client) RequestState(ctx context.Context, id string) (RequestState, error) {
	var out RequestState
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "requests", id)
	return out, wrap(err, "state of request "+id)
}

// CancelRequest ends a request, and gives it as it stands then: one that had
// ended before stays as it was.
func (c *Client) CancelRequest(ctx context.Context, id string) (RequestState, error) {
	var out RequestState
	err := c.call(ctx, callTimeout, http.MethodDelete, nil, nil, &out, "requests", id)
	return out, wrap(err, "cancel request "+id)
}

// Subscribe has every file that a connector delivers from now on, and that
// passes the filters of sub, posted to its ReplyTo: see Receiver. The
// Subscription that it gives has the id.
func (c *Client) Subscribe(ctx context.Context, connector string, sub Subscription) (Subscription, error) {
	var out Subscription
	err := c.call(ctx, callTimeout, http.MethodPost, nil, sub, &out, "connectors", connector, "subscriptions")
	return out, wrap(err, "subscribe to "+connector)
}

// Subscriptions gives those of a connector, oldest first, with what their
// receivers were not told of yet.
func (c *Client) Subscriptions(ctx context.Context, connector string) ([]Subscription, error) {
	var out SubscriptionList
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "connectors", connector, "subscriptions")
	return out.Subscriptions, wrap(err, "subscriptions of "+connector)
}

// Unsubscribe ends a subscription, with what its receiver was not told of yet.
func (c *Client) Unsubscribe(ctx context.Context, connector, id string) error {
	err := c.call(ctx, callTimeout, http.MethodDelete, nil, nil, nil, "connectors", connector, "subscriptions", id)
	return wrap(err, "unsubscribe from "+connector)
}

// DropPending gives up what the receiver of a subscription was not told of yet.
// The subscription goes on with what is delivered from now on.
func (c *Client) DropPending(ctx context.Context, connector, id string) error {
	err := c.call(ctx, callTimeout, http.MethodDelete, nil, nil, nil, "connectors", connector, "subscriptions", id, "pending")
	return wrap(err, "drop what is pending for "+connector)
}
