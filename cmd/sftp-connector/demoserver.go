package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/space/sshd"
)

// demoUser is who may log in to the demo's server.
const demoUser = "demo"

// demoServer is the SFTP server of the Spaces on loopback, with other files
// behind it: it shows one directory as /results, for reading.
type demoServer struct {
	port        int
	password    string
	fingerprint string

	root    *os.Root
	end     context.CancelFunc
	serving sync.WaitGroup
}

// startDemoServer serves the directory files; the host keys are kept in keys.
func startDemoServer(files, keys string) (*demoServer, error) {
	s := &demoServer{password: rand.Text()}
	server, err := sshd.New(sshd.Options{
		HostKeys: sshd.HostKeyDirectory(filepath.Join(keys, "demo_host_keys")),
		Authenticate: func(_ context.Context, user, _ string, password []byte) bool {
			return subtle.ConstantTimeCompare(password, []byte(s.password)) == 1 && user == demoUser
		},
		Handlers: func(string) (sftp.Handlers, error) {
			return sftp.Handlers{FileGet: demoFiles{s.root}, FilePut: refuse{}, FileCmd: refuse{}, FileList: demoFiles{s.root}}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	s.fingerprint = ssh.FingerprintSHA256(server.HostKeys()[0])
	if s.root, err = os.OpenRoot(files); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.root.Close()
		return nil, err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.serving.Go(func() { _ = server.Serve(ctx, listener) })
	return s, nil
}

func (s *demoServer) close() {
	s.end()
	s.serving.Wait()
	s.root.Close()
}
