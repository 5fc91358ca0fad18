package space_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"sftpconnector/config"
	"sftpconnector/space"
	"sftpconnector/space/credentials"
	"sftpconnector/space/sshd"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// A second upload of a name while the first one is read, or about to get its
// name at the destination, is not lost, and never mixed with the first.
func TestSecondUploadDuringTheImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		same      config.SameName
		published bool // the second one comes when the first was read whole
		files     []string
		told      []string
	}{
		{"read, replace", config.ReplaceSameName, false, []string{"a.csv", "second"}, []string{"a.csv"}},
		{"read, keep-both", config.KeepBoth, false, []string{"a.csv", "first!", "a (2).csv", "second"}, []string{"a (2).csv", "a.csv"}},
		{"published, replace", config.ReplaceSameName, true, []string{"a.csv", "second"}, []string{"a.csv", "a.csv"}},
		{"published, keep-both", config.KeepBoth, true, []string{"a.csv", "first!", "a (2).csv", "second"}, []string{"a (2).csv", "a.csv"}},
	} {
		for _, copies := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", copied ", copies), func(t *testing.T) {
				t.Parallel()
				var again func()
				r := newRig(t, func(r *rig) {
					r.copies = copies
					r.add(id, c.same)
					second := sync.OnceFunc(func() { again() })
					if c.published {
						r.publish = func([]filesync.Publication) { second() }
					} else {
						r.fetched = func(filesync.Entry) { second() }
					}
				})
				client := r.login(id)
				again = func() { r.put(client, "a.csv", "second") } // of the same size
				r.put(client, "a.csv", "first!")
				r.arrives(id, c.files...)
				if told := r.deliveries(); !slices.Equal(told, c.told) {
					t.Errorf("told of %q, want %q", told, c.told)
				}
			})
		}
	}
}

// A file that its client takes back while it is imported either arrives or
// does not; nothing is left, and the import goes on.
func TestRemovedDuringTheImport(t *testing.T) {
	t.Parallel()
	var remove func()
	r := newRig(t, func(r *rig) {
		once := sync.OnceFunc(func() { remove() })
		r.fetched = func(e filesync.Entry) {
			if e.Name == "gone.csv" {
				once()
			}
		}
	})
	client := r.login(id)
	remove = func() {
		if err := client.Remove("gone.csv"); err != nil {
			t.Error(err)
		}
	}
	r.put(client, "gone.csv", "x")
	r.put(client, "a.csv", "y")
	r.arrives(id, "a.csv", "y")
	if told := r.deliveries(); !slices.Equal(told, []string{"a.csv"}) {
		t.Errorf("told of %q", told)
	}
}

// What the daemon's pages and metrics are made of.
// A pending file that could not be removed goes soon, also when nothing is uploaded any
// more.
func TestPendingFileIsRemovedWithoutAnotherUpload(t *testing.T) {
	t.Parallel()
	made := make(chan string, 1)
	r := newRig(t, func(r *rig) {
		r.publish = func([]filesync.Publication) {
			owner := pending.NewOwner(r.ledger.Owner(), "c", 0)
			left := filepath.Join(r.dir, "to", id, pending.Name("a.csv", owner.NewID()))
			if err := os.WriteFile(left, nil, 0o600); err != nil {
				t.Error(err)
			}
			r.left.Store(true)
			made <- left
		}
	})
	r.put(r.login(id), "a.csv", "data")
	left := <-made
	r.until("the pending file is gone", func() bool {
		_, err := os.Lstat(left)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestStatusAndEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.add("other", config.ReplaceSameName) })
	if ids := r.spaces.IDs(); !slices.Equal(ids, []string{"other", id}) {
		t.Errorf("Spaces: %q", ids)
	}
	client := r.login(id)
	r.put(client, "kept.tmp", "12345")
	st, err := r.spaces.Status(id)
	if err != nil || st.Bytes != 5 || st.Files != 1 || st.Quota != 10e6 || st.MaximumFileSize != 1e6 || len(st.Credentials) != 1 ||
		len(st.Sessions) != 1 || st.Sessions[0].Received != 5 || st.Sessions[0].Space != id {
		t.Errorf("%+v, %v", st, err)
	}
	if st, err := r.spaces.Status("other"); err != nil || st.Files != 0 || len(st.Sessions) != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if files, err := r.spaces.Files(id); err != nil || len(files) != 1 || files[0].Name != "kept.tmp" || files[0].Size != 5 {
		t.Errorf("%+v, %v", files, err)
	}
	if _, err := r.dial("other", "wrong"); err == nil {
		t.Error("a wrong password lets in")
	}
	if _, err := r.spaces.Revoke(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.spaces.Revoke(t.Context(), id, ""); !errors.Is(err, credentials.ErrNotFound) {
		t.Errorf("nothing is left to revoke: %v", err)
	}
	r.until("the session is over", func() bool { return r.told(sshd.Closed, sshd.EndDisconnected) })
	if !r.told(sshd.Connected, "") || !r.told(sshd.Refused, sshd.RefusedLogin) {
		t.Errorf("events: %+v", r.events)
	}
}

func (r *rig) told(kind sshd.EventKind, why sshd.Reason) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, func(e sshd.Event) bool { return e.Kind == kind && e.Reason == why })
}

func TestUnknownSpaces(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, unknown := range []string{"", "us_sp_124", "US_SP_123", "../us_sp_123"} {
		_, status := r.spaces.Status(unknown)
		_, files := r.spaces.Files(unknown)
		_, create := r.spaces.Create(t.Context(), unknown, "")
		_, revoke := r.spaces.Revoke(t.Context(), unknown, "")
		_, source := r.spaces.Source(unknown)
		for what, err := range map[string]error{"Status": status, "Files": files, "Create": create, "Revoke": revoke, "Source": source} {
			if !errors.Is(err, space.ErrUnknown) {
				t.Errorf("%s of %q: %v", what, unknown, err)
			}
		}
		if _, ok := r.spaces.Authorize("a_secret_key_of_nobody", unknown); ok {
			t.Errorf("%q may be asked for", unknown)
		}
	}
}
