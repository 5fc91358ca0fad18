package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"sftpconnector/store/sftp/sftptest/relay"
)

// sshServer is an sshd on loopback.
type sshServer struct {
	cmd        *exec.Cmd
	user       string
	port       string
	key        string
	knownHosts string
	dir        string
}

// startServer starts Debian's sshd with keys and configuration of its own.
func startServer(ctx context.Context, dir string) (*sshServer, error) {
	u, err := user.Current()
	if err != nil {
		return nil, err
	}
	s := &sshServer{user: u.Username, dir: dir, key: filepath.Join(dir, "id"), knownHosts: filepath.Join(dir, "known_hosts")}
	if os.Geteuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755)
	}
	for _, name := range []string{"id", "host"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	config := fmt.Sprintf(`ListenAddress 127.0.0.1:%s
HostKey %s/host
AuthorizedKeysFile %s/id.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
MaxStartups 100
SetEnv HOME=%s
Subsystem sftp /usr/lib/openssh/sftp-server
`, s.port, dir, dir, dir) // a home without start files: a shell's may be slow
	path := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	s.cmd = exec.Command(sshd, "-D", "-f", path)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: install Debian's openssh-server", err)
	}
	if err := s.trust(s.port); err != nil {
		s.stop()
		return nil, err
	}
	for range 100 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			return s, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("sshd does not answer")
}

// trust writes the host key under the port, for every program.
func (s *sshServer) trust(port string) error {
	key, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.knownHosts, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fields := strings.Fields(string(key))
	_, err = fmt.Fprintf(f, "[127.0.0.1]:%s %s %s\n", port, fields[0], fields[1])
	return err
}

// via gives the server as seen over a line with a round trip time.
func (s *sshServer) via(ctx context.Context, rtt time.Duration) (far *sshServer, stop func(), err error) {
	if rtt == 0 {
		return s, func() {}, nil
	}
	r, err := relay.Start(ctx, "127.0.0.1:"+s.port, rtt/2)
	if err != nil {
		return nil, nil, err
	}
	copied := *s
	_, copied.port, _ = net.SplitHostPort(r.Addr)
	if err := s.trust(copied.port); err != nil {
		r.Close()
		return nil, nil, err
	}
	return &copied, func() { r.Close() }, nil
}

func (s *sshServer) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// ssh is the command line of OpenSSH's client for this server.
func (s *sshServer) ssh() []string {
	return []string{"ssh", "-p", s.port, "-i", s.key, "-o", "UserKnownHostsFile=" + s.knownHosts, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"}
}
