package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/status"
)

// dock is where clients upload to: a daemon with Spaces, each of which imports
// into the directory of its name below the site.
type dock struct {
	*site
	d         *running
	passwords map[string]string
}

// spaces are ids, with further settings of each.
type spaces map[string]string

// newDock starts a daemon in this process. server are further settings of the
// space_server.
func newDock(t *testing.T, server string, all spaces) *dock {
	t.Helper()
	return (&site{t, t.TempDir()}).dock(server, all)
}

// dock starts a daemon with Spaces at a site.
func (s *site) dock(server string, all spaces) *dock {
	s.t.Helper()
	k := &dock{site: s, passwords: map[string]string{}}
	k.settings(server, all)
	k.d = k.daemon()
	k.enroll()
	return k
}

// settings writes the configuration.
func (k *dock) settings(server string, all spaces) {
	k.t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "space_server: {listen: \"127.0.0.1:0\", %s}\nspaces:\n", server)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		own := all[id]
		if !strings.Contains(own, "destination_directory_path") {
			own = "destination_directory_path: ./" + id + ", " + own
		}
		fmt.Fprintf(&text, "  %s: {%s}\n", id, own)
	}
	k.configure("%s", strings.ReplaceAll(text.String(), ", }", "}"))
}

// enroll makes a password for each Space that has none.
func (k *dock) enroll() {
	k.t.Helper()
	cfg, err := config.Load(k.path("config.yaml"))
	if err != nil {
		k.t.Fatal(err)
	}
	store, err := space.OpenCredentials(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	defer store.Close()
	for id := range cfg.Spaces {
		if k.passwords[id] == "" {
			made, err := store.Create(k.t.Context(), id, "")
			if err != nil {
				k.t.Fatal(err)
			}
			k.passwords[id] = made.Password()
		}
	}
}

// under is the dock for a subtest.
func (k *dock) under(t *testing.T) *dock {
	return &dock{site: &site{t, k.dir}, d: k.d, passwords: k.passwords}
}

// until waits for a condition, and fails with the log when it does not come.
func (k *dock) until(what string, is func() bool) {
	k.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("it did not come to this: %s; the log:\n%s", what, k.d.stderr.end())
		}
	}
}

var listening = regexp.MustCompile(`msg="receiving uploads".* listen=(127\.0\.0\.1:\d+)`)

// addr is where the daemon receives uploads.
func (k *dock) addr() string {
	k.t.Helper()
	var addr string
	k.until("uploads are received", func() bool {
		found := listening.FindStringSubmatch(k.d.stderr.String())
		if found != nil {
			addr = found[1]
		}
		return found != nil
	})
	return addr
}

// hostKeys are the keys that the daemon shows, Ed25519 first.
func (k *dock) hostKeys() (keys []ssh.PublicKey) {
	k.t.Helper()
	for _, name := range []string{"ssh_host_ed25519_key", "ssh_host_ecdsa_key", "ssh_host_rsa_key"} {
		text, err := os.ReadFile(k.path("data/host_keys/" + name))
		if err != nil {
			k.t.Fatal(err)
		}
		key, err := ssh.ParsePrivateKey(text)
		if err != nil {
			k.t.Fatal(err)
		}
		keys = append(keys, key.PublicKey())
	}
	return keys
}

// caller is how to log in to a daemon at addr.
func (k *dock) caller() *ssh.ClientConfig {
	k.t.Helper()
	return &ssh.ClientConfig{
		HostKeyCallback: ssh.FixedHostKey(k.hostKeys()[0]), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 20 * time.Second,
	}
}

// client is one connection with one SFTP session.
type client struct {
	*sftp.Client
	conn net.Conn
}

// hangUp drops the connection, as a network does that fails.
func (c client) hangUp() { c.conn.Close() }

func (c client) Close() {
	c.Client.Close()
	c.conn.Close()
}

// dial logs in; config is of caller.
func dial(ctx context.Context, config *ssh.ClientConfig, addr, id string, auth ssh.AuthMethod) (client, error) {
	own := *config
	own.User, own.Auth = id, []ssh.AuthMethod{auth}
	conn, err := (&net.Dialer{Timeout: own.Timeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return client{}, err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Minute)) // of the test: none of these lasts longer
	c, channels, requests, err := ssh.NewClientConn(conn, addr, &own)
	if err != nil {
		conn.Close()
		return client{}, err
	}
	files, err := sftp.NewClient(ssh.NewClient(c, channels, requests))
	if err != nil {
		conn.Close()
		return client{}, err
	}
	return client{files, conn}, nil
}

func (k *dock) password(id string) ssh.AuthMethod { return ssh.Password(k.passwords[id]) }

// login is a client of a Space, until the test ends.
func (k *dock) login(id string) client {
	k.t.Helper()
	c, err := dial(k.t.Context(), k.caller(), k.addr(), id, k.password(id))
	if err != nil {
		k.t.Fatalf("login: %v; the log:\n%s", err, k.d.stderr.end())
	}
	k.t.Cleanup(c.Close)
	return c
}

// upload puts a file as a simple client does.
func upload(c client, name string, content string) error {
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err := f.ReadFrom(strings.NewReader(content)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// mustUpload puts files, of which each has its contents after its name.
func (k *dock) mustUpload(c client, files ...string) {
	k.t.Helper()
	for i := 0; i < len(files); i += 2 {
		if err := upload(c, files[i], files[i+1]); err != nil {
			k.t.Fatalf("upload %s: %v", files[i], err)
		}
	}
}

// arrived gives what stands below the destination of a Space, by name.
func (k *dock) arrived(id string) map[string]string { return tree(k.t, k.path(id)) }

// objects gives what the uploads of a Space that are not imported have on the disk, by
// the names of the objects.
func (k *dock) objects(id string) map[string]string {
	return tree(k.t, k.path("data/spool/"+id+"/objects"))
}

// waiting gives the uploads of a Space that are not imported.
func (k *dock) waiting(id string) []interapp.InboxFile {
	k.t.Helper()
	page, err := k.operator().SpaceFiles(k.t.Context(), id, interapp.FileQuery{Limit: 1000})
	if err != nil {
		k.t.Fatal(err)
	}
	return page.Inbox
}

// tree gives the files below a directory with their contents; none for a
// directory that is not there. What goes away meanwhile is left out.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return nil
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		found[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// imported waits until the destination of a Space has the files, and nothing else.
func (k *dock) imported(id string, want map[string]string) {
	k.t.Helper()
	k.until(fmt.Sprintf("%s has imported %q", id, slices.Sorted(maps.Keys(want))), func() bool {
		return maps.Equal(k.arrived(id), want)
	})
}

// imports waits until the destination of a Space has the files, whose contents
// follow their names, and nothing else; and its inbox nothing.
func (k *dock) imports(id string, files ...string) {
	k.t.Helper()
	want := map[string]string{}
	for i := 0; i < len(files); i += 2 {
		want[files[i]] = files[i+1]
	}
	k.imported(id, want)
	k.until("the inbox is empty", func() bool { return len(k.waiting(id)) == 0 })
}

// status waits until the daemon says this of a Space.
func (k *dock) status(id string, word status.Word) interapp.Space {
	k.t.Helper()
	client := k.operator()
	defer client.Close()
	var last interapp.Space
	k.until(fmt.Sprintf("the status of %s is %s", id, word), func() (is bool) {
		var err error
		if last, err = client.Space(k.t.Context(), id); err != nil {
			k.t.Fatal(err)
		}
		return last.ConnectionStatus == string(word)
	})
	return last
}

// wants checks that err is there and has the words.
func wants(t *testing.T, what string, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(words)) {
		t.Errorf("%s: got %v, want an error with %q", what, err, words)
	}
}
