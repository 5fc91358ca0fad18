package sshclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sftpconnector/status"

	"golang.org/x/crypto/ssh"
)

// Dial reaches the server, checks its key and logs in. It reports the
// stages resolve, connect, handshake, host-key and authenticate to observe as
// they end, the last one with the failure if there is one. Every error is a
// *status.Error. A ctx that ends interrupts it at once; it has no hold on the
// connection afterwards.
func Dial(ctx context.Context, cfg Config, observe status.Observer) (*Connection, error) {
	cfg = cfg.WithDefaults()
	s := newStages(observe)
	client, t, err := login(ctx, cfg, s)
	if err != nil {
		return nil, err
	}
	return newConnection(client, t, cfg), nil
}

// login reaches the server and logs in. A server with keys of several types
// shows one: when that is not the pinned one, the others are asked for.
func login(ctx context.Context, cfg Config, s *stages) (*ssh.Client, *transport, error) {
	check := newHostKeyCheck(cfg)
	t, err := reach(ctx, cfg, s)
	if err != nil {
		return nil, nil, err
	}
	for {
		client, err := handshake(ctx, t, cfg, check, s)
		if err == nil {
			return client, t, nil
		}
		if !check.triesAgain(err) {
			return nil, nil, err
		}
		s.again()
		if t, err = reach(ctx, cfg, nil); err != nil {
			s.failed(status.StageHandshake, err)
			return nil, nil, err
		}
	}
}

// reach opens the stream to the server: stages resolve and connect.
func reach(ctx context.Context, cfg Config, s *stages) (*transport, error) {
	if cfg.Jump != nil {
		return reachThrough(ctx, cfg, s)
	}
	addrs, err := resolve(ctx, cfg.Host, cfg.Timeouts.Dial)
	if err != nil {
		err = resolveError(cfg.Host, err)
		s.failed(status.StageResolve, err)
		return nil, err
	}
	s.passed(status.StageResolve, resolved(cfg.Host, addrs))
	t, err := connect(ctx, cfg, addrs)
	if err != nil {
		s.failed(status.StageConnect, err)
		return nil, err
	}
	s.passed(status.StageConnect, t.addr)
	return t, nil
}

// connect opens a TCP connection to one of the addresses.
func connect(ctx context.Context, cfg Config, addrs []netip.Addr) (*transport, error) {
	conn, err := dialAny(ctx, addrs, cfg.Port, cfg.Timeouts.Dial)
	if err != nil {
		return nil, connectError(cfg.Addr(), err, cfg.Timeouts.Dial)
	}
	return newTransport(conn, conn.RemoteAddr().String(), conn.Close, cfg.Timeouts.Operation), nil
}

// resolve looks a name up; an IP address stands for itself.
func resolve(ctx context.Context, host string, limit time.Duration) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// resolved is the detail of the stage resolve.
func resolved(host string, addrs []netip.Addr) string {
	if len(addrs) == 1 && addrs[0].String() == host {
		return host + " is an address"
	}
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return strings.Join(all, ", ")
}

// headStart is how long an address may take before the next one is tried
// beside it (RFC 8305, section 5: a connection attempt delay of 250 ms).
const headStart = 250 * time.Millisecond

// dialAny connects to the first address that answers. The addresses are
// started in their order, the next one as soon as one fails or is slow, so
// that a dead IPv6 route costs a moment and not the whole limit.
func dialAny(ctx context.Context, addrs []netip.Addr, port int, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	dial := func(a netip.Addr) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(port)))
		select {
		case results <- result{conn, err}:
		case <-ctx.Done():
			// Another one won, or time is up: but a result that is waited
			// for must not be lost to this race.
			select {
			case results <- result{conn, err}:
			default:
				if conn != nil {
					conn.Close()
				}
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	var failed error
	for started, ended := 0, 0; ended < len(addrs); {
		select {
		case <-next.C:
			if started < len(addrs) {
				go dial(addrs[started])
				started++
				next.Reset(headStart)
			}
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			failed = worse(failed, r.err)
			ended++
			next.Reset(0)
		case <-ctx.Done():
			if err := context.Cause(ctx); failed == nil || !errors.Is(err, context.DeadlineExceeded) {
				return nil, err
			}
			return nil, failed
		}
	}
	return nil, failed
}

// worse chooses the error that says more: a host that refuses is there.
func worse(a, b error) error {
	if a == nil || !isRefused(a) && isRefused(b) {
		return b
	}
	return a
}

// reachThrough opens a stream to the server through the jump host. The stages
// resolve and connect cover all of it, the login on the jump host included.
func reachThrough(ctx context.Context, cfg Config, s *stages) (*transport, error) {
	hop := cfg.viaJump()
	addrs, err := resolve(ctx, hop.Host, cfg.Timeouts.Dial)
	if err != nil {
		err = atJump(resolveError(hop.Host, err))
		s.failed(status.StageResolve, err)
		return nil, err
	}
	s.passed(status.StageResolve, fmt.Sprintf("jump host %s; %s is resolved there", resolved(hop.Host, addrs), cfg.Host))
	t, err := forward(ctx, cfg, hop, addrs)
	if err != nil {
		s.failed(status.StageConnect, err)
		return nil, err
	}
	s.passed(status.StageConnect, t.addr)
	return t, nil
}

// forward logs in on the jump host and has it connect to the server.
func forward(ctx context.Context, cfg, hop Config, addrs []netip.Addr) (*transport, error) {
	outer, err := connect(ctx, hop, addrs)
	if err != nil {
		return nil, atJump(err)
	}
	client, err := handshake(ctx, outer, hop, newHostKeyCheck(hop), nil)
	if err != nil {
		return nil, atJump(err)
	}
	dialCtx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Dial)
	defer cancel()
	conn, err := client.DialContext(dialCtx, "tcp", cfg.Addr())
	if err != nil {
		outer.Close()
		return nil, forwardError(cfg.Addr(), err, cfg.Timeouts.Dial)
	}
	via := fmt.Sprintf("%s through %s@%s", cfg.Addr(), hop.Username, outer.addr)
	// Closing the stream inside would have to be sent; cutting the outer one
	// ends both, and the goroutines of both.
	return newTransport(conn, via, outer.Close, cfg.Timeouts.Operation), nil
}
