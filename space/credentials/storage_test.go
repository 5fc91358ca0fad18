package credentials

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What another process does counts at once; two Stores of one file are to each
// other as two processes are.
func TestOtherProcessesCount(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	daemon, cli := open(t, o), open(t, o)
	// Often, as changes may fall into one tick of the file system's clock, and
	// their files be of one size and get the inode of an older one.
	for range 30 {
		c := create(t, cli, "a")
		opens(t, daemon, "a", c, true)
		d := create(t, daemon, "a")
		if _, err := cli.Revoke(t.Context(), "a", c.ID); err != nil {
			t.Fatal(err)
		}
		opens(t, daemon, "a", c, false)
		if _, err := daemon.Revoke(t.Context(), "a", d.ID); err != nil {
			t.Fatal(err)
		}
		opens(t, cli, "a", d, false)
	}
	c := create(t, cli, "a")
	opens(t, daemon, "a", c, true)
	if err := os.Remove(o.Records.String()); err != nil {
		t.Fatal(err)
	}
	opens(t, daemon, "a", c, false)
	opens(t, daemon, "a", create(t, daemon, "a"), true)
}

// Each version has a later time than the one before, whatever the clocks say.
func TestVersionsDiffer(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	s := open(t, o)
	c := create(t, s, "a")
	ahead := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(o.Records.String(), ahead, ahead); err != nil {
		t.Fatal(err)
	}
	opens(t, s, "a", c, true)
	create(t, open(t, o), "a")
	if info, err := os.Stat(o.Records.String()); err != nil || !info.ModTime().After(ahead) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
}

// A file that is not whole lets nobody in and is never written over.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	s := open(t, o)
	c := create(t, s, "a")
	whole, err := os.ReadFile(o.Records.String())
	if err != nil {
		t.Fatal(err)
	}
	var other bytes.Buffer
	if err := json.Compact(&other, whole); err != nil {
		t.Fatal(err)
	}
	damaged := map[string]string{
		"empty":           "",
		"half":            string(whole[:len(whole)/2]),
		"zeros":           string(make([]byte, len(whole))),
		"more":            string(whole) + "{}",
		"null":            "null",
		"another version": strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1),
		"another key":     strings.Replace(string(whole), `"key": "`+s.keyMark(), `"key": "0000000000000000`, 1),
		"unknown field":   strings.Replace(string(whole), `"version": 1`, `"version": 1, "x": 1`, 1),
		"twice a field":   strings.Replace(string(whole), `"version": 1`, `"version": 1, "version": 1`, 1),
		"no HMAC":         strings.Replace(string(whole), `"hmac"`, `"hmax"`, 1),
		"short HMAC":      strings.Replace(string(whole), `"hmac": "`, `"hmac": "00`, 1),
		"bad HMAC":        strings.Replace(string(whole), `"hmac": "`+fmt.Sprintf("%x", s.known["a"][0].HMAC[:1]), `"hmac": "zz`, 1),
		"bad Space":       strings.Replace(string(whole), `"space": "a"`, `"space": ""`, 1),
		"bad id":          strings.Replace(string(whole), c.ID, "../../etcx", 1),
		"one id twice":    strings.Replace(other.String(), `"credentials":[`, `"credentials":[`+entry(t, whole)+",", 1),
		"no time":         strings.Replace(string(whole), `"created"`, `"credated"`, 1),
		"too large":       string(whole) + strings.Repeat(" ", maxFile),
	}
	for what, text := range damaged {
		if text == string(whole) {
			t.Fatalf("%s: nothing was damaged", what)
		}
		if err := os.WriteFile(o.Records.String(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, opening := Open(o)
		_, checking := s.Check("a", []byte(c.Password()))
		_, again := s.Check("a", []byte(c.Password()))
		_, listing := s.List("a")
		_, creating := s.Create(t.Context(), "a", "")
		_, revoking := s.Revoke(t.Context(), "a", "")
		for i, err := range []error{opening, checking, again, listing, creating, revoking} {
			if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), o.Records.String()) {
				t.Errorf("%s, %d: %v", what, i, err)
			}
		}
		if data, err := os.ReadFile(o.Records.String()); string(data) != text || err != nil {
			t.Errorf("%s: changed to %s, %v", what, data, err)
		}
	}
	// Mended, it counts again, in another form of white space too.
	if err := os.WriteFile(o.Records.String(), other.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	opens(t, s, "a", c, true)
}

// entry cuts the only record out of a file.
func entry(t *testing.T, file []byte) string {
	t.Helper()
	var d struct{ Credentials []json.RawMessage }
	var compact bytes.Buffer
	if err := json.Unmarshal(file, &d); err != nil || len(d.Credentials) != 1 {
		t.Fatal(err)
	}
	if err := json.Compact(&compact, d.Credentials[0]); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}

// A key that is gone or damaged is not replaced by one with which nothing fits.
func TestKeyIsNotReplaced(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	c := create(t, open(t, o), "a")
	key, err := os.ReadFile(o.Key.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, {}, key[:31], slices.Concat(key, key), make([]byte, keySize)} {
		if err := os.Remove(o.Key.String()); err != nil {
			t.Fatal(err)
		}
		if bad != nil {
			if err := os.WriteFile(o.Key.String(), bad, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), o.Key.String()) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
		if now, err := os.ReadFile(o.Key.String()); !bytes.Equal(now, bad) || (err != nil) != (bad == nil) {
			t.Errorf("%d bytes are %d now, %v", len(bad), len(now), err)
		}
		if err := os.WriteFile(o.Key.String(), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opens(t, open(t, o), "a", c, true)
}

// A process that holds the lock and does nothing does not hold us for ever.
func TestLockedOutWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	s, other := open(t, o), open(t, o)
	err := other.o.Records.Edit(t.Context(), func([]byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.Create(ctx, "a", "")
		return nil, err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	create(t, s, "a")
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	stores := []*Store{open(t, o), open(t, o)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, other, space := stores[i%2], stores[1-i%2], fmt.Sprint("space", i)
			for range 3 {
				c, err := s.Create(t.Context(), space, "")
				if err != nil {
					t.Error(err)
					return
				}
				opens(t, other, space, c, true)
				opens(t, s, space, c, true)
			}
			if list, err := other.List(space); len(list) != 3 || err != nil {
				t.Errorf("%s has %v, %v", space, list, err)
			}
		})
	}
	wg.Wait()
}

const childDirectory = "CREDENTIALS_TEST_CHILD"

// child makes passwords in a Space of its own until it is killed, and prints
// each when it is there.
func child(dir string) {
	s, err := Open(inDir(dir))
	for space := fmt.Sprint("p", os.Getpid()); err == nil; {
		var c Created
		if c, err = s.Create(context.Background(), space, ""); err == nil {
			fmt.Println(space, c.ID, c.Password())
		}
	}
	fmt.Println("failed:", err)
	os.Exit(1)
}

// TestKilledProcesses: whatever a process that was killed had given out works,
// and nothing stands half written, while others write too.
func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	dir := filepath.Dir(o.Records.String())
	var mu sync.Mutex
	given := map[string][]Created{}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for round := range 5 {
				made := killed(t, dir, 1+round)
				mu.Lock()
				for _, c := range made {
					given[c.Space] = append(given[c.Space], c)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s := open(t, o)
	for space, made := range given {
		list, err := s.List(space)
		if err != nil {
			t.Fatal(err)
		}
		// One more may have been written and not printed; of the others the last ones stay.
		for _, c := range made[max(0, len(made)-defaultLive+1):] {
			if !slices.ContainsFunc(list, func(i Info) bool { return i.ID == c.ID }) {
				t.Errorf("%s of %s is lost", c.ID, space)
			}
			opens(t, s, space, c, true)
		}
	}
	if len(given) != 10 {
		t.Errorf("%d processes have written", len(given))
	}
	create(t, s, "after")
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 3 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// killed starts a child, kills it after so many passwords, and gives those it made.
func killed(t *testing.T, dir string, after int) []Created {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDirectory+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return nil
	}
	deadline := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer deadline.Stop()
	var made []Created
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var c Created
		var password string
		if n, err := fmt.Sscan(lines.Text(), &c.Space, &c.ID, &password); n != 3 {
			t.Errorf("%q: %v", lines.Text(), err)
			break
		}
		c.password = &password
		if made = append(made, c); len(made) == after {
			cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
	return made
}
