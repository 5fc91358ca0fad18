package space_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/space"
)

// An inbox that cannot be opened is the trouble of its Space alone, at the start
// and at a reload, and over when a reload can open it.
func TestInboxThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) {
		r.add("bad", config.ReplaceSameName)
		r.spoil("bad", true)
	})
	known := func(when string, want ...string) {
		t.Helper()
		if ids := r.spaces.IDs(); !slices.Equal(ids, want) {
			t.Errorf("%s: the Spaces are %q, want %q", when, ids, want)
		}
	}
	known("at the start", id)
	// Its password is right all the same: a client is not to look for another one.
	store, err := space.OpenCredentials(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	made, err := store.Create(t.Context(), "bad", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.dial("bad", made.Password()); err == nil || strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("a login to an inbox that is not open: %v", err)
	}
	r.put(r.login(id), "a.csv", "x")
	r.arrives(id, "a.csv", "x")

	changed := *r.cfg
	changed.SpaceServer.InboxQuota = 20e6 // opens all anew
	if err := r.spaces.Reload(t.Context(), &changed); err == nil || !strings.Contains(err.Error(), "the Space bad") {
		t.Errorf("Reload: %v", err)
	}
	known("after a reload", id)
	r.put(r.login(id), "b.csv", "y")
	r.arrives(id, "a.csv", "x", "b.csv", "y")

	r.spoil("bad", false)
	if err := r.spaces.Reload(t.Context(), &changed); err != nil {
		t.Error(err)
	}
	known("when it can be opened again", "bad", id)
	r.put(r.login("bad"), "c.csv", "z")
	r.arrives("bad", "c.csv", "z")
}

// spoil puts a file where the inbox of a Space belongs, or takes it away.
func (r *rig) spoil(id string, bad bool) {
	r.Helper()
	name := filepath.Join(r.cfg.DataDirectory, "spaces", id)
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil && bad {
		err = os.WriteFile(name, nil, 0o600)
	} else if err == nil {
		err = os.Remove(name)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// The daemon hears of a listener that fails, though its Spaces could go on.
func TestRunEndsWithTheListener(t *testing.T) {
	t.Parallel()
	r := prepare(t, nil)
	set, err := connector.NewSet(t.Context(), &config.Config{}, connector.Parts{}, r.ledger)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- r.spaces.Run(ctx, set) }()
	if _, err := r.dial(id, "wrong"); err == nil { // it is served now
		t.Error("a wrong password lets in")
	}
	r.spaces.Close()
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Run goes on without a listener")
		cancel()
		<-ended
	}
}
