package credentialsapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// checkURL takes where a secret key may be sent to. Its errors repeat nothing of
// the URL but the scheme: there may be a password in it.
func checkURL(raw string) (*url.URL, error) {
	const key = "credentials_api.url "
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New(key + "is not a URL such as https://api.example.com/v1/auth/sftp-credentials")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New(key + "has a port that is not from 1 to 65535")
		}
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%sbegins with %.20q; allowed: https://, and http:// to this machine", key, u.Scheme)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New(key + "is http, which would send secret_key in clear over the network; use https (http is allowed to this machine only: 127.0.0.1, ::1, localhost)")
	case u.User != nil:
		return nil, errors.New(key + "has a user name or password in it; the API is asked with secret_key")
	case strings.Contains(raw, "#"):
		return nil, errors.New(key + "has a fragment, the part after #")
	case u.Query().Has("spaceId"):
		return nil, errors.New(key + "has a spaceId in it; write it as space_id")
	}
	return u, nil
}

// isLoopback reports whether a host of a URL means this machine by its name.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// headerSafe reports whether a key can be sent in a header (RFC 6750, section 2.1, is stricter).
func headerSafe(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}

// newTransport makes one that keeps no connections: fetches are rare. The
// environment's proxy is for others than this machine.
func newTransport(scheme string, local bool, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{}
	if scheme == "http" {
		dialer.Control = onlyLoopback
	}
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxAnswer,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
	if !local {
		useProxy(t, http.ProxyFromEnvironment)
	}
	return t
}

// useProxy makes what goes wrong with a proxy known by its type.
func useProxy(t *http.Transport, of func(*http.Request) (*url.URL, error)) {
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := of(r)
		if err != nil { // which would repeat the proxy's URL, with its password
			return nil, proxyError("the proxy of the environment is not a URL")
		}
		return u, nil
	}
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		if answer.StatusCode != http.StatusOK {
			return proxyError(fmt.Sprintf("the proxy of the environment answers %s", codeText(answer.StatusCode)))
		}
		return nil
	}
}

// onlyLoopback keeps a key off the network when localhost is not this machine.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Unmap().IsLoopback() {
		return errElsewhere
	}
	return nil
}

// fetch asks the API. ctx has the deadline.
func (c *Client) fetch(ctx context.Context) (Login, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.request, nil)
	if err != nil {
		return Login{}, c.fail(errProtocol)
	}
	r.Header.Set("Authorization", "Bearer "+c.secretKey)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "sftp-connector")
	// Not by an http.Client, which would follow redirects.
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return Login{}, c.fail(c.during(ctx, err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return Login{}, c.fail(&refusal{answer.StatusCode, c.titleOf(answer, body)})
	case err != nil:
		return Login{}, c.fail(c.during(ctx, err))
	case len(body) > maxAnswer:
		return Login{}, c.fail(&unusable{fmt.Errorf("is larger than %d KiB", maxAnswer>>10)})
	}
	login, err := parseAnswer(body)
	if err != nil {
		return Login{}, c.fail(&unusable{err})
	}
	return login, nil
}

// titleOf gives the title of an answer that is a problem.
func (c *Client) titleOf(answer *http.Response, body []byte) string {
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" {
		return ""
	}
	return problemTitle(body, c.secretKey)
}

// during prefers the reason for which a fetch was ended to what broke by that.
func (c *Client) during(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return late(c.timeout)
	}
	return cmp.Or(ctx.Err(), err)
}
