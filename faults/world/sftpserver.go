//go:build linux

package world

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/schedule"
	"sftpconnector/faults/sftpd"
)

// modelPassword is what the product logs in with, where it has no key.
const modelPassword = "the password of the suite"

// startModel starts the suite's own server for the files below root.
func startModel(root string, client ssh.PublicKey) (*modelServer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	s, err := sftpd.Start(sftpd.Options{Root: root, User: "user", Password: modelPassword, Key: client, HostKey: key})
	if err != nil {
		return nil, err
	}
	return &modelServer{Server: s, key: key, faults: map[schedule.Step]sftpd.Fault{}}, nil
}

// Restart has the server away for a while.
func (m *modelServer) Restart(ctx context.Context, away time.Duration) error {
	return m.Server.Restart(ctx, away)
}

// ChangeKey switches to another host key, or back.
func (m *modelServer) ChangeKey(on bool) error {
	if !on {
		m.SetHostKey(m.key)
		return nil
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	other, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return err
	}
	m.SetHostKey(other)
	return nil
}

// ChangePassword has another password accepted, or the one of before.
func (m *modelServer) ChangePassword(on bool) error {
	password := modelPassword
	if on {
		password = "another one"
	}
	m.SetPassword(password)
	return nil
}

// RefuseLogins has no login accepted.
func (m *modelServer) RefuseLogins(on bool) error {
	m.Server.RefuseLogins(on)
	return nil
}

// RefuseSessions has every session refused.
func (m *modelServer) RefuseSessions(on bool) error {
	m.Server.RefuseSessions(on)
	return nil
}
