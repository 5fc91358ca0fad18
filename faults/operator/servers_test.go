//go:build linux

package operator

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// newKey writes a private key, and gives its public half.
func (r *rig) newKey(name string) ssh.PublicKey {
	r.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	r.must(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	r.must(err)
	r.write(name, pem.EncodeToMemory(block))
	signer, err := ssh.NewSignerFromKey(private)
	r.must(err)
	return signer.PublicKey()
}

// subsystem has the ordinary user's rights, whoever logs in: sshd lets nobody in
// whose account is locked, as that of nobody is.
const subsystem = "Subsystem sftp /usr/bin/setpriv --reuid=nobody --regid=nogroup --clear-groups /usr/lib/openssh/sftp-server"

// sshd is Debian's OpenSSH server, which serves the file system of this machine
// to the ordinary user.
type sshd struct {
	r       *rig
	addr    string
	options []string
	process *process
}

// newSSHD starts a server that lets the key "client" in, and whose host key is
// known. The options are lines of sshd_config.
func (r *rig) newSSHD(options ...string) *sshd {
	r.Helper()
	s := &sshd{r: r, addr: r.freeAddress(), options: options}
	r.write("authorized_keys", ssh.MarshalAuthorizedKey(r.newKey("client")))
	s.newHostKey()
	s.start()
	return s
}

// newHostKey gives the server another key, which is trusted if it is the first.
func (s *sshd) newHostKey() {
	s.r.Helper()
	public := s.r.newKey("host")
	if _, err := os.Stat(s.r.path("known_hosts")); err != nil {
		s.trust(public)
	}
}

func (s *sshd) trust(key ssh.PublicKey) {
	s.r.write("known_hosts", []byte(knownhosts.Line([]string{knownhosts.Normalize(s.addr)}, key)+"\n"))
}

// login is the sftp part of a connector that logs in here.
func (s *sshd) login() string { return s.r.login(s.addr) }

func (r *rig) login(addr string) string {
	return fmt.Sprintf("host: %s, port: %s, username: root, authentication: key-pairs, key_pairs_path: client, known_hosts_path: known_hosts", r.host, port(addr))
}

func (s *sshd) start() {
	s.r.Helper()
	config := fmt.Sprintf("ListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nPermitRootLogin yes\nStrictModes no\nUseDNS no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n",
		s.addr, s.r.path("host"), s.r.path("authorized_keys"))
	if s.options == nil {
		s.options = []string{subsystem}
	}
	for _, o := range s.options {
		config += o + "\n"
	}
	s.r.write("sshd_config", []byte(config))
	s.r.must(os.MkdirAll("/run/sshd", 0o755)) // its privilege separation directory
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.r.path("sshd_config"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.process = s.r.serve(s.addr, cmd)
}

// stop ends the server; connections go on, as with OpenSSH's.
func (s *sshd) stop() { s.process.stop() }

// restart starts it again, with other lines of sshd_config.
func (s *sshd) restart(options ...string) {
	s.r.Helper()
	s.stop()
	s.options = options
	s.start()
}

// process is a server.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{}
}

// serve starts a server, and returns when it listens. It ends with the test.
func (r *rig) serve(addr string, cmd *exec.Cmd) *process {
	r.Helper()
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second // its children have its output
	r.must(cmd.Start())
	p := &process{cmd, make(chan struct{})}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait()
	}()
	r.Cleanup(p.stop)
	deadline := time.After(20 * time.Second)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return p
		}
		select {
		case <-p.gone:
			r.Fatalf("%s ended at once: %s", filepath.Base(cmd.Path), said.String())
		case <-deadline:
			r.Fatalf("%s does not listen: %s", filepath.Base(cmd.Path), said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}
