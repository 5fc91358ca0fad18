//go:build linux

package operator

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// tcp serves connections until it is stopped.
type tcp struct {
	addr   string
	mended chan struct{} // of a relay
	over   chan struct{} // it was stopped

	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
	stopped  bool
	tasks    sync.WaitGroup
}

// listen serves every connection to addr with its own goroutine, until the test ends.
func (r *rig) listen(addr string, serve func(*tcp, *net.TCPConn)) *tcp {
	r.Helper()
	l, err := net.Listen("tcp", addr)
	r.must(err)
	s := &tcp{addr: l.Addr().String(), listener: l, open: map[net.Conn]bool{}, mended: make(chan struct{}), over: make(chan struct{})}
	s.tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if s.adopt(c) {
				s.tasks.Go(func() {
					defer c.Close()
					serve(s, c.(*net.TCPConn))
				})
			}
		}
	})
	r.Cleanup(s.stop)
	return s
}

// adopt notes a connection, which ends when the server stops.
func (s *tcp) adopt(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		c.Close()
		return false
	}
	s.open[c] = true
	return true
}

// stop closes the listener and every connection.
func (s *tcp) stop() {
	s.listener.Close()
	s.cut()
	s.tasks.Wait()
}

func (s *tcp) cut() {
	s.mu.Lock()
	if !s.stopped {
		close(s.over)
	}
	s.stopped = true
	open := s.open
	s.open = map[net.Conn]bool{}
	s.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

// says greets each connection with a text, as servers of other protocols do.
func says(text string) func(*tcp, *net.TCPConn) {
	return func(_ *tcp, c *net.TCPConn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

// relay hands everything on to a server and back. After limit bytes of the server on
// the first connection it does what beyond says. All later ones have to wait until it
// is mended.
func relay(server string, limit int64, beyond func(client *net.TCPConn)) func(*tcp, *net.TCPConn) {
	var met atomic.Bool
	return func(s *tcp, client *net.TCPConn) {
		first := !met.Swap(true)
		if !first {
			select {
			case <-s.mended:
			case <-s.over:
				return
			}
		}
		up, err := net.Dial("tcp", server)
		if err != nil || !s.adopt(up) {
			return
		}
		defer up.Close()
		s.tasks.Go(func() { _, _ = io.Copy(up, client) })
		if first {
			_, _ = io.CopyN(client, up, limit)
			beyond(client)
			return
		}
		_, _ = io.Copy(client, up)
	}
}

// reset ends a connection as a crashed machine does: by RST.
func reset(client *net.TCPConn) {
	_ = client.SetLinger(0)
	client.Close()
}

// silent keeps a connection, on which nothing comes any more.
func silent(client *net.TCPConn) { _, _ = io.Copy(io.Discard, client) }

// blackHole makes an address one at which a connection is neither accepted nor
// refused, as behind a firewall that drops: a listener whose queue is full. open
// gives the address free again.
func (r *rig) blackHole(addr string) (open func()) {
	r.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	r.must(err)
	closing := sync.OnceFunc(func() { syscall.Close(fd) })
	r.Cleanup(closing)
	number, err := strconv.Atoi(port(addr))
	r.must(err)
	r.must(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	r.must(syscall.Bind(fd, &syscall.SockaddrInet4{Port: number, Addr: netip.MustParseAddr(r.host).As4()}))
	r.must(syscall.Listen(fd, 0))
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if os.IsTimeout(err) {
			return closing
		}
		r.must(err)
		r.Cleanup(func() { c.Close() })
	}
	r.Fatal("this kernel accepts any number of connections")
	return nil
}

// passwords is an SSH server that lets "collector" in by a password. OpenSSH
// would take a user of this machine for that.
type passwords struct {
	*tcp
	right atomic.Pointer[string]
}

func (r *rig) newPasswords(right string) *passwords {
	r.Helper()
	public := r.newKey("host")
	text, err := os.ReadFile(r.path("host"))
	r.must(err)
	host, err := ssh.ParsePrivateKey(text)
	r.must(err)
	p := &passwords{}
	p.right.Store(&right)
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if string(given) != *p.right.Load() {
			return nil, errors.New("wrong password")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	p.tcp = r.listen(r.host+":0", func(_ *tcp, c *net.TCPConn) { serveSFTP(c, config) })
	(&sshd{r: r, addr: p.addr}).trust(public)
	return p
}

func (p *passwords) login(given string) string {
	return "host: " + p.addr[:strings.LastIndexByte(p.addr, ':')] + ", port: " + port(p.addr) + ", username: collector, known_hosts_path: known_hosts, password: " + given
}

// serveSFTP serves the files of this machine on one connection.
func serveSFTP(c net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for n := range channels {
		channel, asked, err := n.Accept()
		if err != nil {
			return
		}
		tasks.Go(func() {
			for q := range asked {
				_ = q.Reply(q.Type == "subsystem", nil)
				if q.Type == "subsystem" {
					break
				}
			}
			go ssh.DiscardRequests(asked)
			defer channel.Close()
			if s, err := sftp.NewServer(channel); err == nil {
				_ = s.Serve()
			}
		})
	}
}

// smbd is Samba with one share, which "connector" may use with the password.
type smbd struct {
	r       *rig
	addr    string
	process *process
}

const sharePassword = "secret of the test"

func (r *rig) newSMBD() *smbd {
	r.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0") // Samba knows this address only
	r.must(err)
	r.must(free.Close())
	s := &smbd{r: r, addr: free.Addr().String()}
	for _, dir := range []string{"share", "smb", "smb/private", "smb/locks", "smb/state", "smb/cache", "smb/pid", "smb/ncalrpc", "smb/logs"} {
		r.must(os.MkdirAll(r.path(dir), 0o700))
	}
	r.must(os.WriteFile(s.file("users.map"), []byte("root = connector\n"), 0o600))
	r.must(os.WriteFile(s.file("smb.conf"), []byte(`[global]
server role = standalone server
workgroup = OPERATOR
netbios name = OPERATOR
disable netbios = yes
interfaces = 127.0.0.1/8
bind interfaces only = yes
smb ports = `+port(s.addr)+`
private dir = `+s.file("private")+`
passdb backend = tdbsam:`+s.file("private/passdb.tdb")+`
username map = `+s.file("users.map")+`
lock directory = `+s.file("locks")+`
state directory = `+s.file("state")+`
cache directory = `+s.file("cache")+`
pid directory = `+s.file("pid")+`
ncalrpc dir = `+s.file("ncalrpc")+`
binddns dir = `+s.file("state")+`
log file = `+s.file("logs/log.smbd")+`
load printers = no
printcap name = /dev/null
disable spoolss = yes
usershare max shares = 0
[share]
path = `+r.path("share")+`
read only = no
`), 0o600))
	s.password(sharePassword)
	s.start()
	return s
}

func (s *smbd) file(name string) string { return filepath.Join(s.r.path("smb"), name) }

// password gives the user another password. Sessions go on.
func (s *smbd) password(text string) {
	s.r.Helper()
	cmd := exec.Command("/usr/bin/pdbedit", "--configfile="+s.file("smb.conf"), "-a", "-t", "-u", "root")
	cmd.Stdin = strings.NewReader(text + "\n" + text + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.r.Fatalf("pdbedit: %v: %s", err, out)
	}
}

func (s *smbd) start() {
	s.r.Helper()
	cmd := exec.Command("/usr/sbin/smbd", "--foreground", "--no-process-group", "--configfile="+s.file("smb.conf"), "--log-basename="+s.file("logs"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	s.process = s.r.serve(s.addr, cmd)
	s.r.Cleanup(s.stop)
}

// stop ends the server and its sessions, which are processes of its group.
func (s *smbd) stop() {
	_ = syscall.Kill(-s.process.cmd.Process.Pid, syscall.SIGKILL)
	<-s.process.gone
}
