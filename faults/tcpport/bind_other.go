//go:build !linux

package tcpport

import "net"

func listenConfig() *net.ListenConfig { return &net.ListenConfig{} }

// bind finds a free port and does not reserve it: another program may take it.
func bind(addr *net.TCPAddr) (taken *net.TCPAddr, release func() error, err error) {
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	return l.Addr().(*net.TCPAddr), func() error { return nil }, l.Close()
}
