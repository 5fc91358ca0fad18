package interapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// How long a call may take, beyond what it waits for. A check opens a
// connection stage by stage, each with its own time.
const (
	callTimeout  = 30 * time.Second
	checkTimeout = 5 * time.Minute
)

// maxAnswer bounds an answer, in bytes; ten thousand connectors fit.
const maxAnswer = 256 << 20

// Client talks to a running sftp-connector. It may be used concurrently.
//
// Its methods obey ctx, and have timeouts of their own. What the server refuses
// is an error with a *Problem in its chain.
type Client struct {
	// HTTP makes the calls. It may be replaced before the first of them, for a
	// server whose certificate only the caller trusts. It should have no
	// Timeout, as an Apply waits; redirects are not followed whatever it says.
	HTTP *http.Client

	base, token string
}

// NewClient makes a Client for the API at baseURL, such as http://127.0.0.1:8022. A
// path in it is kept, for a server behind a proxy; without a scheme it is http.
// The token may be empty where the server asks for none.
func NewClient(baseURL, token string) *Client {
	if !strings.Contains(baseURL, "://") {
		baseURL = "http://" + baseURL
	}
	return &Client{base: baseURL, token: token, HTTP: &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}}}
}

// Close closes the connections that are kept for later calls.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// Connectors gives the state of all connectors, in the order of their names.
func (c *Client) Connectors(ctx context.Context) ([]Connector, error) {
	var out ConnectorList
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "connectors")
	return out.Connectors, wrap(err, "list connectors")
}

// Connector gives the state of one connector.
func (c *Client) Connector(ctx context.Context, name string) (Connector, error) {
	var out Connector
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "connectors", name)
	return out, wrap(err, "connector "+name)
}

// Apply starts an Apply, or joins the one that runs, and waits up to wait (at
// most MaxWait) for its outcome. When that is over first, done is false and the
// Pass is queued or running; it goes on, and Connector shows it.
func (c *Client) Apply(ctx context.Context, name string, wait time.Duration) (p Pass, done bool, err error) {
	query := url.Values{}
	if wait = min(wait, MaxWait); wait > 0 {
		query.Set("wait", wait.String())
	}
	err = c.call(ctx, max(wait, 0)+callTimeout, http.MethodPost, query, nil, &p, "connectors", name, "apply")
	return p, err == nil && p.Ended(), wrap(err, "apply "+name)
}

// Check tests the connection stage by stage. That a stage fails is no error: it
// is in the Check.
func (c *Client) Check(ctx context.Context, name string) (Check, error) {
	var out Check
	err := c.call(ctx, checkTimeout, http.MethodPost, nil, nil, &out, "connectors", name, "check")
	return out, wrap(err, "check "+name)
}

// Retry releases quarantined files, the named ones or all for none. Its reply
// has the names of those that were.
func (c *Client) Retry(ctx context.Context, name string, paths []string) (RetryReply, error) {
	var out RetryReply
	err := c.call(ctx, callTimeout, http.MethodPost, nil, RetryRequest{Paths: paths}, &out, "connectors", name, "retry")
	return out, wrap(err, "retry "+name)
}

// SetSchedule changes automatic_sftp_file_sync: N/A, an interval such as 15m,
// or a cron expression.
func (c *Client) SetSchedule(ctx context.Context, name, schedule string) error {
	err := c.call(ctx, callTimeout, http.MethodPut, nil, Schedule{AutomaticSFTPFileSync: schedule}, &Schedule{}, "connectors", name, "schedule")
	return wrap(err, "set schedule of "+name)
}

// FileQuery selects files. The zero FileQuery selects all.
type FileQuery struct {
	State  string // delivered, present, failed, quarantined or conflict; waiting, unsafe or excluded: by the last pass
	Name   string // a part of the path, or a pattern of it with * and ?
	Cursor string // of the page before
	Limit  int    // 1 to 1000; 0 for the server's default
	Order  string // delivered: the last deliveries of a connector, newest first; with Limit alone
}

func (q FileQuery) values() url.Values {
	query := url.Values{}
	for key, value := range map[string]string{"state": q.State, "name": q.Name, "cursor": q.Cursor, "limit": number(q.Limit), "order": q.Order} {
		if value != "" {
			query.Set(key, value)
		}
	}
	return query
}

// Files gives a page of the files that a connector has delivered or failed to.
func (c *Client) Files(ctx context.Context, name string, q FileQuery) (FilePage, error) {
	var out FilePage
	err := c.call(ctx, callTimeout, http.MethodGet, q.values(), nil, &out, "connectors", name, "files")
	return out, wrap(err, "files of "+name)
}

// Passes gives the last passes of a connector, newest first: up to limit, 1 to
// 1000, or 0 for the server's default.
func (c *Client) Passes(ctx context.Context, name string, limit int) ([]Pass, error) {
	query := url.Values{}
	if limit != 0 {
		query.Set("limit", number(limit))
	}
	var out PassList
	err := c.call(ctx, callTimeout, http.MethodGet, query, nil, &out, "connectors", name, "passes")
	return out.Passes, wrap(err, "passes of "+name)
}

// RecentPasses gives the last passes of up to 100 connectors, and Spaces as
// SpaceConnector names them, newest first: up to limit of each, 1 to 100, or 0 for the
// server's default. Names that are not configured have none.
func (c *Client) RecentPasses(ctx context.Context, names []string, limit int) (map[string][]PassMark, error) {
	var out RecentPasses
	query := nonEmpty("connectors", strings.Join(names, ","), "limit", number(limit))
	err := c.call(ctx, callTimeout, http.MethodGet, query, nil, &out, "passes")
	return out.Connectors, wrap(err, "recent passes")
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func wrap(err error, op string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

// call sends in, if there is one, and reads the answer into out; nil for an
// answer without content. The elements of path are below /api/v1, and are
// escaped here.
func (c *Client) call(ctx context.Context, timeout time.Duration, method string, query url.Values, in, out any, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := c.request(ctx, method, query, in, path)
	if err != nil {
		return err
	}
	answer, err := c.do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, maxAnswer)
	switch code := answer.StatusCode; {
	case code == http.StatusNoContent && out == nil:
		return nil
	case code != http.StatusOK && code != http.StatusCreated && code != http.StatusAccepted:
		return refusal(answer, body)
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: the answer is not one of sftp-connector: %w", method, r.URL.Redacted(), err)
	}
	return nil
}

// do sends a request. The API never redirects. Who does is another, and gets no token.
func (c *Client) do(r *http.Request) (*http.Response, error) {
	client := *c.HTTP
	client.Transport = unfollowed{client.Transport}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.Do(r)
}

// unfollowed is a transport for redirects that nobody follows: http.Client makes an
// error of the network of one that leads to no URL, as if asking again might help.
type unfollowed struct{ http.RoundTripper }

func (u unfollowed) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := u.RoundTripper
	if transport == nil {
		transport = http.DefaultTransport
	}
	answer, err := transport.RoundTrip(r)
	if err == nil && answer.StatusCode >= 300 && answer.StatusCode <= 399 {
		if _, perr := r.URL.Parse(answer.Header.Get("Location")); perr != nil {
			answer.Header.Del("Location")
		}
	}
	return answer, err
}

// request makes the request of a call.
func (c *Client) request(ctx context.Context, method string, query url.Values, in any, path []string) (*http.Request, error) {
	base, err := url.Parse(c.base)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("the server's URL is not one; write it like http://127.0.0.1:8022")
	}
	escaped := []string{"api", "v1"}
	for _, p := range path {
		if p == "" { // which would be another route
			return nil, errors.New("the name of a connector or Space, or an id, is missing")
		}
		// A name such as ".." is no step in the path.
		escaped = append(escaped, strings.ReplaceAll(url.PathEscape(p), ".", "%2E"))
	}
	target := base.JoinPath(escaped...)
	target.RawQuery = query.Encode()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// refusal is the error of an answer that is not a success.
func refusal(answer *http.Response, body io.Reader) error {
	const most = 64 << 10
	p := &Problem{}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind == "application/problem+json" && json.NewDecoder(io.LimitReader(body, most)).Decode(p) == nil && p.Status != 0 {
		return p
	}
	p = &Problem{Status: answer.StatusCode, Title: answer.Status}
	p.Detail = fmt.Sprintf("the server at %s answers %s, which is not sftp-connector's: check its URL", answer.Request.URL.Host, answer.Status)
	if to := answer.Header.Get("Location"); to != "" {
		p.Detail = fmt.Sprintf("the server at %s redirects to %s: if you trust it, use that URL", answer.Request.URL.Host, to)
	}
	return p
}
