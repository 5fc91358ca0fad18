//go:build linux

package world

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// server is an SFTP server that faults can be injected into.
type server interface {
	Addr() string
	// Restart has the server away for a while, and all its connections end.
	Restart(ctx context.Context, away time.Duration) error
	// ChangeKey switches to another host key, or back.
	ChangeKey(on bool) error
	// ChangePassword has the client's password, or its key, no longer accepted.
	ChangePassword(on bool) error
	// RefuseLogins and RefuseSessions hold from the next connection on.
	RefuseLogins(on bool) error
	RefuseSessions(on bool) error
	Close() error
}

// place is what a connector works on at its server.
type place struct {
	out     string // where downloads come from, as the product names it
	in      string // where uploads go to
	archive string // where originals are moved to
}

// login is how the product gets in.
type login struct {
	user     string
	password string
	keyFile  string
	hostKey  ssh.PublicKey
}

// newKey makes a key pair, and writes the private key to a file.
func newKey(file string) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// directories makes the directories of a server's root.
func directories(root string) error {
	for _, name := range []string{"out", "in", "archive", "staging"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return fmt.Errorf("make the root of a server: %w", err)
		}
	}
	return nil
}
