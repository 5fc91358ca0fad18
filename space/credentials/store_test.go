package credentials

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/durable"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirectory); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// inDir are options whose files stand in dir.
func inDir(dir string) Options {
	return Options{Records: durable.Document{Path: filepath.Join(dir, "credentials.json"), Mode: 0o600}, Key: durable.Document{Path: filepath.Join(dir, "credentials.key")}}
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func create(t *testing.T, s *Store, space string) Created {
	t.Helper()
	c, err := s.Create(t.Context(), space, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// opens checks that a password works, or that it does not.
func opens(t *testing.T, s *Store, space string, c Created, want bool) {
	t.Helper()
	id, err := s.Check(space, []byte(c.Password()))
	switch {
	case want && (id != c.ID || err != nil):
		t.Errorf("%s in %s: %q, %v", c.ID, space, id, err)
	case !want && (id != "" || !errors.Is(err, ErrRefused)):
		t.Errorf("%s in %s is not refused: %q, %v", c.ID, space, id, err)
	}
}

func ids(list []Info) string {
	var text []string
	for _, i := range list {
		text = append(text, i.ID)
	}
	return strings.Join(text, " ")
}

func TestPasswordOpensItsSpaceOnly(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	s := open(t, o)
	a, b, other := create(t, s, "us_sp_123"), create(t, s, "us_sp_123"), create(t, s, "us_sp_12")
	for _, s := range []*Store{s, open(t, o)} {
		opens(t, s, "us_sp_123", a, true)
		opens(t, s, "us_sp_123", b, true)
		opens(t, s, "us_sp_12", other, true)
		opens(t, s, "us_sp_12", a, false)
		opens(t, s, "us_sp_123", other, false)
		opens(t, s, "unknown", a, false)
		opens(t, s, "", a, false)
		password := a.Password()
		for _, wrong := range []string{"", "x", password + "x", password[1:], password[:len(password)-1],
			strings.ToLower(password), password + "\x00", strings.Repeat(password, 1000)} {
			if id, err := s.Check("us_sp_123", []byte(wrong)); id != "" || !errors.Is(err, ErrRefused) {
				t.Errorf("%.50q: %q, %v", wrong, id, err)
			}
		}
	}
}

// The form that shells, YAML, SSH_ASKPASS and a double click leave alone.
func TestPasswordForm(t *testing.T) {
	t.Parallel()
	s := open(t, Options{Live: 50, Records: durable.Document{Path: filepath.Join(t.TempDir(), "deep", "c")}, Key: durable.Document{Path: filepath.Join(t.TempDir(), "k")}})
	form := regexp.MustCompile(`^sftp_[A-Z2-7]{26,}$`) // 5 bits each: 130 at least
	seen := map[string]bool{}
	for range 50 {
		c := create(t, s, "a")
		if p := c.Password(); !form.MatchString(p) || seen[p] || seen[c.ID] {
			t.Errorf("%q with id %q", p, c.ID)
		} else {
			seen[p], seen[c.ID] = true, true
		}
	}
}

// What stands in the file is the HMAC as it is documented, and no password.
func TestFileHoldsNoPassword(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	s := open(t, o)
	c := create(t, s, "a")
	data, err := os.ReadFile(o.Records.String())
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(o.Key.String())
	if err != nil || len(key) != 32 {
		t.Fatalf("a key of %d bytes, %v", len(key), err)
	}
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte("a\x00" + c.Password()))
	if !strings.Contains(string(data), hex.EncodeToString(sum.Sum(nil))) {
		t.Errorf("no HMAC in %s", data)
	}
	for _, secret := range []string{c.Password(), c.Password()[len(Prefix):], hex.EncodeToString(key)} {
		if strings.Contains(string(data), secret) {
			t.Errorf("a secret in %s", data)
		}
	}
	if runtime.GOOS == "windows" {
		return // which has no such modes
	}
	for _, path := range []string{o.Records.String(), o.Key.String(), o.Records.String() + ".lock"} {
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := inDir(t.TempDir())
	o.Live, o.Now = 3, func() time.Time { return now }
	s := open(t, o)
	tick := func() { now = now.Add(time.Second) }
	first := create(t, s, "a")
	tick()
	second := create(t, s, "a")
	tick()
	third := create(t, s, "a")
	tick()
	foreign := create(t, s, "b")
	tick()
	opens(t, s, "a", first, true)
	tick()
	fourth := create(t, s, "a")
	if ids(fourth.Dropped) != second.ID || len(foreign.Dropped)+len(third.Dropped) != 0 {
		t.Errorf("dropped %v, not the one that was not used", fourth.Dropped)
	}
	opens(t, s, "a", second, false)
	opens(t, s, "b", foreign, true)
	list, err := s.List("a")
	if err != nil || ids(list) != ids([]Info{first.Info, third.Info, fourth.Info}) {
		t.Errorf("listed %v, %v", list, err)
	}
	if !list[0].LastUsed.Equal(now.Add(-time.Second)) || !list[1].LastUsed.IsZero() || !list[2].Created.Equal(now) {
		t.Errorf("times %v", list)
	}

	// The clock was put back: what is new is no less new for that.
	now = now.Add(-time.Hour)
	fifth := create(t, s, "a")
	opens(t, s, "a", fifth, true)
	if ids(fifth.Dropped) != third.ID {
		t.Errorf("dropped %v", fifth.Dropped)
	}

	// A lower limit counts from the next one on.
	s.Close()
	o.Live = 1
	last := create(t, open(t, o), "a")
	if len(last.Dropped) != 3 {
		t.Errorf("dropped %v", last.Dropped)
	}
	opens(t, s, "a", first, false)
	opens(t, s, "a", last, true)
}

// A program that fetches a password at each run uses up its own, not those that
// people have saved.
func TestRoomAmongItsOwn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := inDir(t.TempDir())
	o.Live, o.Now = 3, func() time.Time { now = now.Add(time.Second); return now }
	s := open(t, o)
	by := func(key string) Created {
		t.Helper()
		c, err := s.Create(t.Context(), "a", key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	saved := by("")
	other := by("other")
	first := by("ops")
	for last := first; !t.Failed() && now.Minute() < 5; {
		next := by("ops")
		if ids(next.Dropped) != last.ID {
			t.Errorf("dropped %v, not its own last one", next.Dropped)
		}
		last = next
	}
	opens(t, s, "a", saved, true)
	opens(t, s, "a", other, true)
	// Who has none of its own makes room among all, as does an operator.
	if third := by("third"); len(third.Dropped) != 1 || third.Dropped[0].By != "ops" {
		t.Errorf("dropped %v, not the one that was not used for the longest time", third.Dropped)
	}
	if mine := by(""); len(mine.Dropped) != 1 || mine.Dropped[0].ID != saved.ID {
		t.Errorf("dropped %v", mine.Dropped)
	}
	list, err := s.List("a")
	if err != nil || len(list) != 3 || list[0].By != "other" || list[1].By != "third" || list[2].By != "" {
		t.Errorf("listed %v, %v", list, err)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := inDir(t.TempDir())
	o.Expiry, o.Now = time.Hour, func() time.Time { return now }
	s := open(t, o)
	c := create(t, s, "a")
	if !c.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("expires %v", c.Expires)
	}
	now = now.Add(time.Hour - 1)
	opens(t, s, "a", c, true)
	now = now.Add(1)
	opens(t, s, "a", c, false)
	if list, err := s.List("a"); len(list) > 0 || err != nil {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := s.Revoke(t.Context(), "a", c.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked: %v", err)
	}
	o.Expiry = 0
	forever := create(t, open(t, o), "a")
	now = now.AddDate(500, 0, 0)
	opens(t, s, "a", forever, true)
	if data, err := os.ReadFile(o.Records.String()); err != nil || strings.Contains(string(data), c.ID) {
		t.Errorf("the expired one was kept: %s, %v", data, err)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	s := open(t, inDir(t.TempDir()))
	if _, err := s.Revoke(t.Context(), "a", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing was there: %v", err)
	}
	one, two, three, foreign := create(t, s, "a"), create(t, s, "a"), create(t, s, "a"), create(t, s, "b")
	if _, err := s.Revoke(t.Context(), "a", foreign.ID); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), foreign.ID) {
		t.Errorf("another Space's: %v", err)
	}
	if gone, err := s.Revoke(t.Context(), "a", two.ID); ids(gone) != two.ID || err != nil {
		t.Errorf("revoked %v, %v", gone, err)
	}
	opens(t, s, "a", one, true)
	opens(t, s, "a", two, false)
	if gone, err := s.Revoke(t.Context(), "a", ""); ids(gone) != one.ID+" "+three.ID || err != nil {
		t.Errorf("revoked %v, %v", gone, err)
	}
	opens(t, s, "a", one, false)
	opens(t, s, "a", three, false)
	opens(t, s, "b", foreign, true)
}

func TestRefusedOptionsAndSpaces(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	for _, bad := range []Options{{Live: -1}, {Expiry: -1}} {
		bad.Records, bad.Key = o.Records, o.Key
		if _, err := Open(bad); err == nil {
			t.Errorf("%d, %v taken", bad.Live, bad.Expiry)
		}
	}
	s := open(t, o)
	for _, space := range []string{"", "a b", "a/b", "a\x00b", "ä", strings.Repeat("x", maxSpace+1)} {
		if c, err := s.Create(t.Context(), space, ""); err == nil || c.Password() != "" {
			t.Errorf("%q taken", space)
		}
	}
	if _, err := os.Stat(o.Records.String()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Create(ctx, "a", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("created though it was cancelled: %v", err)
	}
}

// A login does not write; the use is in the file within a minute.
func TestUsesAreWrittenLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := inDir(t.TempDir())
		s := open(t, o)
		c := create(t, s, "a")
		fresh, err := os.ReadFile(o.Records.String())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		used := time.Now()
		for range 100 {
			opens(t, s, "a", c, true)
		}
		time.Sleep(noteWithin - time.Second)
		synctest.Wait()
		if data, err := os.ReadFile(o.Records.String()); !bytes.Equal(data, fresh) || err != nil {
			t.Errorf("a login has written %s, %v", data, err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		// Another process sees it, and makes room by it.
		list, err := open(t, o).List("a")
		if err != nil || len(list) != 1 || !list[0].LastUsed.Equal(used) {
			t.Errorf("another process lists %v, %v", list, err)
		}

		// What is not yet written is so by Close, and nothing is noted after it.
		opens(t, s, "a", c, true)
		last := time.Now()
		create(t, open(t, o), "b") // after which the file is read anew
		opens(t, s, "b", c, false)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		opens(t, s, "a", c, true)
		time.Sleep(2 * noteWithin)
		list, err = open(t, o).List("a")
		if err != nil || len(list) != 1 || !list[0].LastUsed.Equal(last) {
			t.Errorf("listed %v, %v; want %v", list, err, last)
		}
	})
}

// TestNothingShowsASecret formats, marshals and logs all that holds one.
func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	o := inDir(t.TempDir())
	s := open(t, o)
	c := create(t, s, "a")
	data, err := os.ReadFile(o.Key.String())
	if err != nil {
		t.Fatal(err)
	}
	password := c.Password()
	secrets := []string{password, password[len(Prefix):], fmt.Sprintf("%x", password), string(data), fmt.Sprintf("%x", data),
		strings.Trim(fmt.Sprint(data), "[]"), strings.Trim(fmt.Sprintf("%#v", data), "[]byte{}"), "sk_hunter2", fmt.Sprintf("%x", "sk_hunter2"),
		fmt.Sprintf("%x", sha256.Sum256([]byte("sk_hunter2")))}
	digest := s.digest("a", []byte(password))
	secrets = append(secrets, hex.EncodeToString(digest[:]))
	list, err := s.List("a")
	if err != nil {
		t.Fatal(err)
	}
	gone, err := s.Revoke(t.Context(), "a", "")
	if err != nil {
		t.Fatal(err)
	}
	_, refused := s.Check("a", []byte(password))
	_, missing := s.Revoke(t.Context(), "a", c.ID)
	for _, value := range []any{s, struct{ hidden Created }{c}, c.Info, c, &c, list, gone, NewKey("ops", "sk_hunter2", nil),
		[]Key{NewKey("ops", "sk_hunter2", nil)}, refused, missing} {
		shown := new(bytes.Buffer)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			fmt.Fprintf(shown, verb+"\n", value)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Error(err)
		}
		shown.Write(text)
		slog.New(slog.NewTextHandler(shown, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(shown, nil)).Info("x", "value", value)
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(shown.String()), strings.ToLower(secret)) {
				t.Errorf("%T shows %q in %s", value, secret, shown)
			}
		}
	}
}
