//go:build linux

package operator

import (
	"bytes"
	"context"
	"database/sql"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	_ "modernc.org/sqlite" // the driver that holds the ledger
)

func programFaults() map[string]scenario {
	return map[string]scenario{
		"Ledger's disk full":    ledgerFull,
		"Ledger locked":         ledgerLocked,
		"Ledger corrupt":        ledgerSpoilt(func(b []byte) []byte { copy(b[100:], bytes.Repeat([]byte{0xff}, len(b)-100)); return b }),
		"Ledger truncated":      ledgerSpoilt(func(b []byte) []byte { return b[:len(b)/2] }),
		"Ledger empty":          ledgerSpoilt(func([]byte) []byte { return nil }),
		"Ledger not a database": ledgerSpoilt(func([]byte) []byte { return bytes.Repeat([]byte("not a database\n"), 500) }),
		"Data directory in use": twoDaemons,
		"Configuration invalid": invalidReload,
		"Webhook receiver down": receiverDown,
		"Connector paused":      paused,
	}
}

func ledgerFull(r *rig) func() {
	r.mount("data", "size=4m")
	r.must(os.Chmod(r.path("data"), 0o700))
	s := r.newSSHD()
	r.run(settings{sftp: s.login()})
	r.valid()
	f, err := os.Create(r.path("data/ballast"))
	r.must(err)
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	// The log of the ledger has room that it keeps: something large has to be noted.
	for n := range 40 {
		r.write("source/"+string(bytes.Repeat([]byte{'a' + byte(n%26)}, 200))+string(rune('0'+n/26)), []byte("x"))
	}
	return func() { r.remove("data/ballast") }
}

func ledgerLocked(r *rig) func() {
	s := r.newSSHD()
	r.run(settings{sftp: s.login()})
	r.valid()
	db, err := sql.Open("sqlite", "file://"+r.path("data/ledger.db")+"?_pragma=busy_timeout(10000)")
	r.must(err)
	r.Cleanup(func() { db.Close() })
	c, err := db.Conn(context.Background())
	r.must(err)
	_, err = c.ExecContext(context.Background(), "BEGIN IMMEDIATE")
	r.must(err)
	return func() {
		_, err := c.ExecContext(context.Background(), "ROLLBACK")
		r.must(err)
		r.must(c.Close())
	}
}

// ledgerSpoilt lets the daemon have a ledger, and starts it again when that is spoilt.
func ledgerSpoilt(spoil func([]byte) []byte) scenario {
	return func(r *rig) func() {
		s := r.newSSHD()
		r.write("source/good.csv", []byte("good"))
		r.run(settings{sftp: s.login()})
		r.valid()
		r.stop()
		whole := r.read("data/ledger.db")
		r.write("data/ledger.db", spoil(bytes.Clone(whole)))
		r.start(r.command(program, r.args()...))
		return func() {
			r.write("data/ledger.db", whole)
			r.start(r.command(program, r.args()...))
			r.valid()
		}
	}
}

func paused(r *rig) func() {
	s := r.newSSHD()
	r.write("source/good.csv", []byte("good"))
	r.run(settings{sftp: s.login()})
	r.valid()
	r.must(r.ask(http.MethodPost, "/api/v1/connectors/results/pause", map[string]string{"reason": "the vendor works on it"}, nil))
	return func() { r.must(r.ask(http.MethodPost, "/api/v1/connectors/results/resume", nil, nil)) }
}

func twoDaemons(r *rig) func() {
	s := r.newSSHD()
	r.run(settings{sftp: s.login()})
	r.valid()
	first := r.daemon
	r.start(r.command(program, r.args()...))
	return func() {
		second := r.daemon
		r.daemon = first
		r.stop()
		r.daemon = second
		r.start(r.command(program, r.args()...))
		r.valid()
	}
}

func invalidReload(r *rig) func() {
	s := r.newSSHD()
	r.run(settings{sftp: s.login()})
	r.valid()
	good := r.read("config.yaml")
	r.write("config.yaml", append(bytes.Clone(good), "nonsense: 1\n"...))
	r.signal(syscall.SIGHUP)
	return func() {
		r.write("config.yaml", good)
		r.signal(syscall.SIGHUP)
	}
}

func receiverDown(r *rig) func() {
	s := r.newSSHD()
	to := r.freeAddress()
	r.run(settings{sftp: s.login()})
	r.valid()
	r.posted = "r1"
	r.must(r.ask(http.MethodPost, "/api/v1/connectors/results/requests", map[string]string{"id": r.posted, "reply_to": "http://" + to + "/replies"}, nil))
	return func() {
		l, err := net.Listen("tcp", to)
		r.must(err)
		receiver := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Minute}
		go func() { _ = receiver.Serve(l) }()
		r.Cleanup(func() { receiver.Close() })
	}
}

// valid waits until the connector works.
func (r *rig) valid() {
	r.Helper()
	r.until("the connector works", func() bool {
		var e apiConnector
		return r.get("/api/v1/connectors/results", &e) == nil && e.ConnectionStatus == "Connection Valid" && e.LastPass != nil
	}, r.daemon.stderr.String)
}

func spaceFaults() map[string]scenario {
	return map[string]scenario{
		"Space: wrong password": func(r *rig) func() {
			r.runSpace()
			_, err := r.dialSpace("wrong")
			r.saidBy(err)
			return func() { r.upload("a.csv", 1) }
		},
		"Space: inbox full": func(r *rig) func() {
			r.runSpace()
			r.remove("imported")
			r.write("imported", nil) // in the way of the import
			r.upload("a.csv", 400_000)
			r.upload("b.csv", 400_000)
			r.saidBy(r.tryUpload("c.csv", 400_000))
			return func() { r.remove("imported") }
		},
		"Space: upload too large": func(r *rig) func() {
			r.runSpace()
			r.saidBy(r.tryUpload("a.csv", 600_000))
			return func() { r.upload("a.csv", 1) }
		},
	}
}

func (r *rig) runSpace() {
	r.Helper()
	s := r.newSSHD()
	r.space = r.freeAddress()
	r.run(settings{sftp: s.login(), more: `space_server: {listen: "` + r.space + `", maximum_file_size: 500kB, inbox_quota: 1MB}
spaces: {us_sp_1: {destination_directory_path: ./imported}}`})
	r.valid()
	var made struct{ Login struct{ Password string } }
	r.must(r.ask(http.MethodPost, "/api/v1/spaces/us_sp_1/credentials", nil, &made))
	r.password = made.Login.Password
}

// saidBy notes what a client was told.
func (r *rig) saidBy(err error) {
	r.Helper()
	if err == nil {
		r.Fatal("the client was told nothing")
	}
	r.said = err.Error()
}

func (r *rig) dialSpace(password string) (*ssh.Client, error) {
	return ssh.Dial("tcp", r.space, &ssh.ClientConfig{
		User: "us_sp_1", Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: patience,
	})
}

func (r *rig) tryUpload(name string, size int) error {
	c, err := r.dialSpace(r.password)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := sftp.NewClient(c)
	if err != nil {
		return err
	}
	defer s.Close()
	f, err := s.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (r *rig) upload(name string, size int) {
	r.Helper()
	r.must(r.tryUpload(name, size))
}
