package tcpport

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// listenConfig has no options. Go listens with SO_REUSEADDR, as servers do that
// restart. Such a listener may be bound beside a socket with SO_REUSEADDR that does not
// listen.
func listenConfig() *net.ListenConfig { return &net.ListenConfig{} }

// bind reserves a port with a socket that is bound and never listens. The system
// refuses connections to it, and gives the port to nobody else.
func bind(addr *net.TCPAddr) (taken *net.TCPAddr, release func() error, err error) {
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: addr.Port, Addr: [16]byte(addr.IP.To16())})
	if ip := addr.IP.To4(); ip != nil {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "port")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil {
		at, err = unix.Getsockname(fd)
	}
	if err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("bind", err), file.Close())
	}
	taken = &net.TCPAddr{IP: addr.IP}
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		taken.Port = at.Port
	case *unix.SockaddrInet6:
		taken.Port = at.Port
	}
	return taken, file.Close, nil
}
