package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// Many clients at once, in many Spaces: every file arrives once, in its own.
func TestUploadsOfManyClients(t *testing.T) {
	t.Parallel()
	const clients, inSpaces, files = 50, 20, 5000 / slower
	all, want := spaces{}, map[string]map[string]string{}
	for i := range inSpaces {
		all[fmt.Sprintf("space-%d", i)] = "same_name: keep-both" // what came twice would have two names
	}
	k := newDock(t, "connections: 60", all)
	addr, caller := k.addr(), k.caller()
	var sending errgroup.Group
	started := time.Now()
	for i := range clients {
		id := fmt.Sprintf("space-%d", i%inSpaces)
		mine := map[string]string{}
		for n := range files / clients {
			mine[fmt.Sprintf("client-%d/%d.csv", i, n)] = fmt.Sprintf("file %d of client %d for %s\n", n, i, id)
		}
		if want[id] == nil {
			want[id] = map[string]string{}
		}
		maps.Copy(want[id], mine)
		sending.Go(func() error {
			c, err := dial(t.Context(), caller, addr, id, k.password(id))
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.Mkdir(fmt.Sprintf("client-%d", i)); err != nil {
				return err
			}
			for name, content := range mine {
				if err := upload(c, name, content); err != nil {
					return fmt.Errorf("upload %s: %w", name, err)
				}
			}
			return nil
		})
	}
	if err := sending.Wait(); err != nil {
		t.Fatalf("%v; the log:\n%s", err, k.d.stderr.end())
	}
	sent := time.Since(started)
	for id := range all {
		k.until("all is imported of "+id, func() bool { return len(k.waiting(id)) == 0 })
	}
	took := time.Since(started)
	k.d.stop().gives(0)
	for id := range all {
		if got := k.arrived(id); !maps.Equal(got, want[id]) {
			t.Errorf("%s has %d files, want %d", id, len(got), len(want[id]))
		}
	}
	rows := 0
	query(t, k.site, "SELECT count(*) FROM files", func(r *sql.Rows) error { return r.Scan(&rows) })
	if rows != files {
		t.Errorf("the ledger has %d files, want %d", rows, files)
	}
	t.Logf("%d clients sent %d files in %s (%.0f a second); all were imported after %s (%.0f a second)", clients, files,
		sent.Round(time.Millisecond), files/sent.Seconds(), took.Round(time.Millisecond), files/took.Seconds())
}

// A client that tries to leave its inbox is denied, or stays below its own "/".
func TestUploadsStayInTheirSpace(t *testing.T) {
	t.Parallel()
	k := newDock(t, "", spaces{"us_sp_123": "", "other": ""})
	other := k.login("other")
	k.mustUpload(other, "secret.tmp", "secret")
	k.write("secret.tmp", "secret")
	c := k.login("us_sp_123")
	k.mustUpload(c, "own.tmp", "own")
	if err := c.Mkdir("d"); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"a symbolic link":                     func() error { return c.Symlink(k.path("secret.tmp"), "link") },
		"a symbolic link to its own":          func() error { return c.Symlink("own.tmp", "link") },
		"a hard link":                         func() error { return c.Link("/own.tmp", "/hard") },
		"a hard link out":                     func() error { return c.Link("../other/secret.tmp", "hard") },
		"where a link points":                 func() error { _, err := c.ReadLink("own.tmp"); return err },
		"the server's names":                  func() error { return upload(c, ".uploading.x", "x") },
		"the real path of what lies above":    func() error { _, err := c.RealPath("../other"); return err },
		"the real path by way of a directory": func() error { _, err := c.RealPath("d/../../other"); return err },
	} {
		if err := try(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v, want permission denied", what, err)
		}
	}
	for name, denied := range map[string]bool{
		"../other/secret.tmp": true, "../../data/ledger.db": true, "d/../../../data/secret.tmp": true,
		"/../../../../etc/passwd": true, "../escaped.csv": true, "d/../../escaped.csv": true,
		// These lie below the client's own "/", where nothing is.
		"/etc/passwd": false, k.path("secret.tmp"): false, "d/../etc/passwd": false,
	} {
		for what, err := range map[string]error{
			"open":        second(c.Open(name)),
			"stat":        second(c.Stat(name)),
			"lstat":       second(c.Lstat(name)),
			"list":        second(c.ReadDir(name)),
			"remove":      c.Remove(name),
			"write":       upload(c, name, "x"), // its directory is not there
			"mkdir":       c.Mkdir(name),
			"rename":      c.Rename(name, "mine"),
			"rename onto": c.PosixRename("own.tmp", name),
			"set a time":  c.Chtimes(name, time.Now(), time.Now()),
		} {
			if !errors.Is(err, fs.ErrPermission) && (denied || !errors.Is(err, fs.ErrNotExist)) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	if got, err := os.ReadFile(k.path("secret.tmp")); err != nil || string(got) != "secret" {
		t.Errorf("a file outside: %q, %v", got, err)
	}
	if left := k.waiting("other"); len(left) != 1 || left[0].Name != "secret.tmp" {
		t.Errorf("the other inbox has %v", left)
	}
	if left := slices.Collect(maps.Values(k.objects("other"))); !slices.Equal(left, []string{"secret"}) {
		t.Errorf("the other inbox has %v", left)
	}
	for _, name := range []string{"new", "../escaped.csv", "data/spool/escaped.csv", "data/spaces/escaped.csv", "data/escaped.csv", "escaped.csv"} {
		if k.exists(name) {
			t.Errorf("%s came to be", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Whoever guesses passwords, from one address with many connections, does not
// keep out who knows one.
func TestUploadsWhilePasswordsAreGuessed(t *testing.T) {
	t.Parallel()
	guesses := int64(300)
	if os.Getenv("SOAK") != "" {
		guesses = 10_000
	}
	k := newDock(t, "", spaces{"us_sp_123": ""})
	addr, caller := k.addr(), k.caller()
	var guessed atomic.Int64
	guess := ssh.PasswordCallback(func() (string, error) {
		guessed.Add(1)
		return "wrong", nil
	})
	var guessing sync.WaitGroup
	started := time.Now()
	for range 100 {
		guessing.Go(func() {
			for guessed.Load() < guesses && t.Context().Err() == nil {
				if c, err := dial(t.Context(), caller, addr, "us_sp_123", guess); err == nil {
					c.Close()
					t.Error("a wrong password was right")
				}
			}
		})
	}
	k.until("there are guesses", func() bool { return guessed.Load() > guesses/10 })
	var longest time.Duration
	logins := 0
	for ; guessed.Load() < guesses*9/10 || logins == 0; logins++ {
		began := time.Now()
		c, err := dial(t.Context(), caller, addr, "us_sp_123", k.password("us_sp_123"))
		if err != nil {
			t.Fatalf("login %d, beside %d guesses: %v", logins, guessed.Load(), err)
		}
		if err := upload(c, fmt.Sprintf("%d.csv", logins), "x"); err != nil {
			t.Fatal(err)
		}
		c.Close()
		longest = max(longest, time.Since(began))
	}
	guessing.Wait()
	t.Logf("%d wrong passwords in %s; beside them %d logins, the longest of %s", guessed.Load(), time.Since(started).Round(time.Millisecond), logins, longest.Round(time.Millisecond))
	k.until("all is imported", func() bool { return len(k.waiting("us_sp_123")) == 0 && len(k.arrived("us_sp_123")) == logins })
}
