//go:build linux

package operator

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
)

// unlucky is a server whose address a stub has until the fault ends.
func unlucky(stub func(r *rig, addr string) (stop func())) scenario {
	return func(r *rig) func() {
		s := r.newSSHD()
		s.stop()
		stop := stub(r, s.addr)
		r.run(settings{sftp: s.login()})
		return func() {
			stop()
			s.start()
		}
	}
}

func connectionFaults() map[string]scenario {
	return map[string]scenario{
		"Host name unknown":  hostUnknown,
		"Connection refused": unlucky(func(*rig, string) func() { return func() {} }),
		"Connection times out": unlucky(func(r *rig, addr string) func() {
			return r.blackHole(addr)
		}),
		"Not an SSH server": unlucky(func(r *rig, addr string) func() {
			return r.listen(addr, says("220 ftp.example.com ready\r\n")).stop
		}),
		"No common algorithm": func(r *rig) func() {
			s := r.newSSHD(subsystem, "Ciphers aes128-cbc")
			r.run(settings{sftp: s.login()})
			return func() { s.restart(subsystem) }
		},
		"Sessions refused": func(r *rig) func() {
			s := r.newSSHD(subsystem, "MaxSessions 0")
			r.run(settings{sftp: s.login()})
			return func() { s.restart(subsystem) }
		},
		"SFTP subsystem missing": func(r *rig) func() {
			s := r.newSSHD("X11Forwarding no")
			r.run(settings{sftp: s.login()})
			return func() { s.restart(subsystem) }
		},
		"Connection lost in the middle": inTheMiddle(reset),
		"Server silent":                 inTheMiddle(silent),
	}
}

// hostUnknown runs the daemon with tables of hosts of its own, where a name is
// missing at first.
func hostUnknown(r *rig) func() {
	s := r.newSSHD()
	r.write("hosts", nil)
	r.write("nsswitch.conf", []byte("hosts: files\n"))
	r.configure(settings{sftp: "host: files.example.com, port: " + port(s.addr) + ", username: root" +
		", authentication: key-pairs, key_pairs_path: client, host_key: accept-new"})
	const mounted = `mount --bind hosts /etc/hosts && mount --bind nsswitch.conf /etc/nsswitch.conf && exec setpriv --reuid=nobody --regid="$0" --clear-groups "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", mounted, "nogroup", program}, r.args()...)...)
	cmd.Dir = r.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	r.start(cmd)
	return func() { // the same file, as that is mounted
		f, err := os.OpenFile(r.path("hosts"), os.O_WRONLY, 0)
		r.must(err)
		_, err = f.WriteString(r.host + " files.example.com\n")
		r.must(err)
		r.must(f.Close())
	}
}

// inTheMiddle is a network that fails while a file is copied.
func inTheMiddle(beyond func(*net.TCPConn)) scenario {
	return func(r *rig) func() {
		s := r.newSSHD()
		r.write("source/large.bin", make([]byte, 8<<20))
		between := r.listen(r.host+":0", relay(s.addr, 1<<20, beyond))
		r.run(settings{sftp: r.login(between.addr) + ", host_key: accept-new"})
		return func() { close(between.mended) }
	}
}

func loginFaults() map[string]scenario {
	return map[string]scenario{
		"Host key unknown": func(r *rig) func() {
			s := r.newSSHD()
			known := r.read("known_hosts")
			r.write("known_hosts", nil)
			r.run(settings{sftp: s.login()})
			return func() { r.write("known_hosts", known); r.apply() }
		},
		"Host key changed": func(r *rig) func() {
			s := r.newSSHD()
			first := r.read("host")
			s.newHostKey()
			s.restart(s.options...)
			r.run(settings{sftp: s.login()})
			return func() {
				r.write("host", first)
				s.restart(s.options...)
				r.apply()
			}
		},
		"Wrong password": func(r *rig) func() {
			s := r.newPasswords("another one")
			r.run(settings{sftp: s.login("the old one")})
			return func() { s.right.Store(new("the old one")); r.apply() }
		},
		"Wrong key": func(r *rig) func() {
			s := r.newSSHD()
			let := r.read("authorized_keys")
			r.write("authorized_keys", nil)
			r.run(settings{sftp: s.login()})
			return func() { r.write("authorized_keys", let); r.apply() }
		},
		"Login held back": func(r *rig) func() {
			s := r.newPasswords("another one")
			r.run(settings{sftp: s.login("the old one")})
			r.until("the login is held back", func() bool {
				var e apiConnector
				return r.get("/api/v1/connectors/results", &e) == nil && e.HeldUntil != nil
			}, r.daemon.stderr.String)
			// Who asks meanwhile does not have it tried.
			r.must(r.ask(http.MethodPost, "/api/v1/connectors/results/requests", map[string]string{"id": "meanwhile"}, nil))
			return func() { s.right.Store(new("the old one")); r.apply() }
		},
	}
}
