package server_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"sftpconnector/interapp/server"
)

// Half requests, however many, keep nobody out, and hold no more connections than the
// bound.
func TestHalfRequestsKeepNobodyOut(t *testing.T) {
	d := newDaemon(t, server.Options{Server: eachScope()}) // so that nobody below is known
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := server.NewHTTPServer(d.api)
	bounded := d.api.Bound(l, h, server.Limits{All: 8, Address: 4})
	served := make(chan error, 1)
	go func() { served <- h.Serve(bounded) }()
	defer func() { h.Close(); <-served }()
	for i := range 40 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		half := "GET /healthz HTTP/1.1\r\nHost: local"
		switch i % 3 {
		case 1: // one that is answered, and whose body does not come
			half = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx"
		case 2: // a form whose end does not come
			half = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntoken="
		}
		fmt.Fprint(c, half)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := client.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if n := server.Open(bounded); n > 8 {
		t.Errorf("%d connections are open", n)
	}
}
