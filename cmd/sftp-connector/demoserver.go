package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// demoServer is a small SFTP server on loopback, for the demo alone: it shows
// one directory as /results, for reading.
type demoServer struct {
	port        int
	password    string
	fingerprint string

	root     *os.Root
	listener net.Listener
	config   *ssh.ServerConfig
	mu       sync.Mutex
	open     map[net.Conn]bool
	serving  sync.WaitGroup
}

func startDemoServer(dir string) (*demoServer, error) {
	secret := make([]byte, 12)
	rand.Read(secret)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	s := &demoServer{password: hex.EncodeToString(secret), fingerprint: ssh.FingerprintSHA256(signer.PublicKey()), open: map[net.Conn]bool{}}
	s.config = &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if subtle.ConstantTimeCompare(given, []byte(s.password)) == 1 {
			return nil, nil
		}
		return nil, errors.New("wrong password")
	}}
	s.config.AddHostKey(signer)
	if s.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.root.Close()
		return nil, err
	}
	s.port = s.listener.Addr().(*net.TCPAddr).Port
	s.serving.Go(s.accept)
	return s, nil
}

func (s *demoServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(c) })
	}
}

func (s *demoServer) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}()
	_, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		if asked.ChannelType() != "session" {
			asked.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := asked.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() {
			defer channel.Close()
			for r := range requests {
				isSFTP := r.Type == "subsystem" && string(r.Payload[min(4, len(r.Payload)):]) == "sftp"
				r.Reply(isSFTP, nil)
				if isSFTP {
					go ssh.DiscardRequests(requests)
					sftp.NewRequestServer(channel, sftp.Handlers{FileGet: demoFiles{s.root}, FilePut: refuse{}, FileCmd: refuse{}, FileList: demoFiles{s.root}}).Serve()
					return
				}
			}
		})
	}
}

func (s *demoServer) close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
	s.root.Close()
}
