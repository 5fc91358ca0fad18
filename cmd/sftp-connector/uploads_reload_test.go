package main

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reload writes other settings and has the daemon go over to them.
func (k *dock) reload(server string, all spaces) {
	k.t.Helper()
	reloads := strings.Count(k.d.stderr.String(), "msg=reloaded")
	k.settings(server, all)
	k.d.signal(syscall.SIGHUP)
	k.until("the settings are in force", func() bool { return strings.Count(k.d.stderr.String(), "msg=reloaded") > reloads })
	k.enroll()
}

// A reload brings Spaces and takes them away, and changes limits. Who is
// connected to a Space that stays as it is does not notice.
func TestUploadsOverAReload(t *testing.T) {
	t.Parallel()
	k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
	k.settings("maximum_file_size: 1MB", spaces{"stays": "", "changes": "maximum_file_size: 100kB", "moves": "", "goes": ""})
	k.revive()
	k.enroll()
	stays, changes, moves, goes := k.login("stays"), k.login("changes"), k.login("moves"), k.login("goes")
	content := strings.Repeat("0123456789", 20_000)
	over := make(chan error, 1)
	go func() { over <- goes.Wait() }()
	half, err := stays.Create("half.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.Write([]byte(content[:100_000])); err != nil {
		t.Fatal(err)
	}
	wants(t, "a large file", upload(changes, "big.csv", content), "larger than the 100 kB")
	k.mustUpload(moves, "old.csv", "x", "later.tmp", "y")
	k.imported("moves", map[string]string{"old.csv": "x"})
	k.mustUpload(goes, "kept.tmp", "z")

	k.reload("maximum_file_size: 1MB", spaces{
		"stays": "", "changes": "maximum_file_size: 300kB", "moves": "destination_directory_path: ./moved", "comes": "",
	})
	if _, err := half.Write([]byte(content[100_000:])); err != nil {
		t.Errorf("an upload over the reload: %v", err)
	}
	if err := half.Close(); err != nil {
		t.Errorf("an upload over the reload: %v", err)
	}
	k.mustUpload(k.login("comes"), "a.csv", "x")
	k.mustUpload(k.login("changes"), "big.csv", content)
	if err := moves.Rename("later.tmp", "later.csv"); err != nil {
		t.Errorf("a Space whose destination changes: %v", err)
	}
	k.imports("stays", "half.csv", content)
	k.imports("comes", "a.csv", "x")
	k.imports("changes", "big.csv", content)
	k.until("the new destination is in force", func() bool {
		return maps.Equal(tree(t, k.path("moved")), map[string]string{"later.csv": "y"})
	})
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		t.Error("the session of a Space that went goes on")
	}
	if _, err := dial(t.Context(), k.caller(), k.addr(), "goes", k.password("goes")); err == nil {
		t.Error("a Space that went still lets in")
	}

	// With its files it comes back.
	k.reload("maximum_file_size: 1MB", spaces{"goes": ""})
	if err := k.login("goes").Rename("kept.tmp", "kept.csv"); err != nil {
		t.Fatal(err)
	}
	k.imports("goes", "kept.csv", "z")
	k.d.stop().gives(0)
}

// What only the next start can change is said, and clients are told where the
// server is, not where it will be.
func TestReloadOfTheListener(t *testing.T) {
	t.Parallel()
	k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
	k.settings("", spaces{"us_sp_123": ""})
	k.revive()
	before := k.spaceAt("us_sp_123")
	k.settings("credentials_expiry: 1h", spaces{"us_sp_123": ""})
	text, err := os.ReadFile(k.path("config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	k.write("config.yaml", strings.Replace(string(text), `listen: "127.0.0.1:0"`, `listen: "127.0.0.1:1"`, 1))
	k.d.signal(syscall.SIGHUP)
	k.until("the settings are in force", func() bool { return strings.Contains(k.d.stderr.String(), "msg=reloaded") })
	if !strings.Contains(k.d.stderr.String(), "take effect at the next start") {
		t.Errorf("the log does not tell of the new address:\n%s", k.d.stderr.String())
	}
	if after := k.spaceAt("us_sp_123"); after.PublicPort != before.PublicPort || after.PublicPort <= 1 {
		t.Errorf("clients are told port %d, and were told %d", after.PublicPort, before.PublicPort)
	}
	k.run("space", "credentials", "us_sp_123").gives(0, "expires", fmt.Sprint(before.PublicPort))
	k.d.stop().gives(0)
}

// A limit that is changed while a client uploads holds for that upload, which
// goes on.
func TestUploadsUnderWayWhenTheirLimitChanges(t *testing.T) {
	t.Parallel()
	k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
	k.settings("", spaces{"us_sp_123": "maximum_file_size: 1kB"})
	k.revive()
	k.enroll()
	f, err := k.login("us_sp_123").Create("a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("first half, ")); err != nil {
		t.Fatal(err)
	}
	k.reload("", spaces{"us_sp_123": "maximum_file_size: 20kB"})
	content := "first half, " + strings.Repeat("second half", 1000)
	if _, err := f.Write([]byte(content[12:])); err != nil {
		t.Errorf("past the old limit: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	k.imports("us_sp_123", "a.csv", content)
	k.d.stop().gives(0)
}

// A password that is revoked lets nobody in, and ends the sessions.
func TestUploadsAfterTheirCredentialsAreRevoked(t *testing.T) {
	t.Parallel()
	k := newDock(t, "", spaces{"us_sp_123": "", "other": ""})
	revoked, other := k.login("us_sp_123"), k.login("other")
	k.mustUpload(revoked, "before.csv", "x")
	client := k.operator()
	defer client.Close()
	if _, err := client.RevokeCredentials(t.Context(), "us_sp_123", ""); err != nil {
		t.Fatal(err)
	}
	if err := upload(revoked, "after.csv", "x"); err == nil {
		t.Error("an upload after the revocation")
	}
	_, err := dial(t.Context(), k.caller(), k.addr(), "us_sp_123", k.password("us_sp_123"))
	wants(t, "a revoked password", err, "unable to authenticate")
	k.mustUpload(other, "a.csv", "x")
	k.imports("other", "a.csv", "x")
	k.imports("us_sp_123", "before.csv", "x") // what was uploaded is

	delete(k.passwords, "us_sp_123")
	k.enroll()
	k.mustUpload(k.login("us_sp_123"), "after.csv", "y")
	k.imports("us_sp_123", "before.csv", "x", "after.csv", "y")
}

// A Space whose inbox could not be opened at the start receives uploads once it can
// be; the others do all the time.
func TestSpaceOpensLater(t *testing.T) {
	t.Parallel()
	k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
	k.settings("maximum_file_size: 1MB", spaces{"early": "", "late": ""})
	inTheWay := k.path("data/spaces/late")
	if err := os.MkdirAll(k.path("data/spaces"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k.revive()
	k.until("the log tells of it", func() bool { return strings.Contains(k.d.stderr.String(), "not all Spaces receive uploads") })
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	k.until("it opens", func() bool { return strings.Contains(k.d.stderr.String(), "all Spaces receive uploads\"\n") })
	k.enroll()
	k.mustUpload(k.login("late"), "a.csv", "x")
	k.imports("late", "a.csv", "x")
}
