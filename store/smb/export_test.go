package smb

import (
	"context"

	smb2 "github.com/cloudsoda/go-smb2"
)

// Refuses reports whether a share cannot hold a name.
func Refuses(name string) bool { return checkName(name) != nil }

// Login gives the user and the domain of a login.
func Login(c Config) (user, domain string) { return c.login() }

// Failed gives tests the sorting of errors.
func Failed(ctx context.Context, d *Destination, code uint32) error {
	return d.failed(ctx, "write", "x", &smb2.ResponseError{Code: code})
}

// FlushesDirectories reports whether the server was found to do that.
func FlushesDirectories(d *Destination) bool { return !d.noDirectoryFlush.Load() }

// Waiting is how many operations wait for an answer.
func Waiting(d *Destination) int { return int(d.s.calls.Load()) }
