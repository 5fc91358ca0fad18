package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress is where a request comes from. Behind trusted proxies it is what the
// first of them saw: the right-most address of X-Forwarded-For that is no trusted proxy.
func (s *Server) clientAddress(r *http.Request) string {
	return clientAddress(r.RemoteAddr, r.Header.Values("X-Forwarded-For"), s.access.Load().proxies)
}

func clientAddress(remote string, forwarded []string, proxies []netip.Prefix) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	trusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	at = at.Unmap().WithZone("")
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !trusted(at) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break // what a proxy that is trusted could not read says nothing
		}
		at = next.Unmap().WithZone("")
	}
	return at.String()
}
