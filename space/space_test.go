package space_test

import (
	"testing"

	"sftpconnector/config"
	"sftpconnector/space"
)

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set     config.SpaceServer
		listens string
		host    string
		port    int
	}{
		{config.SpaceServer{}, "127.0.0.1:2022", "127.0.0.1", 2022},
		{config.SpaceServer{}, "[::1]:2022", "::1", 2022},
		{config.SpaceServer{PublicHost: "sftp.example.com"}, "[::]:2022", "sftp.example.com", 2022},
		{config.SpaceServer{PublicPort: 22}, "192.0.2.1:2022", "192.0.2.1", 22},
		{config.SpaceServer{PublicHost: "sftp.example.com", PublicPort: 22}, "192.0.2.1:2022", "sftp.example.com", 22},
	} {
		if host, port := space.PublicAddress(c.set, c.listens); host != c.host || port != c.port {
			t.Errorf("%+v at %s: %s:%d", c.set, c.listens, host, port)
		}
	}
}
