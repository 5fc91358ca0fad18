package main

import (
	"maps"
	"os"
	"strings"
	"testing"

	"sftpconnector/status"
)

// While a destination cannot be written to, uploads go on until the inbox is
// full, and say so then; when it can be, all of them arrive.
func TestUploadsWhileTheDestinationIsAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, settings string
		before         func(*site)
		away, back     func(*site) error
	}{
		{name: "a file stands there at the start", before: func(s *site) { s.write("us_sp_123", "") },
			back: func(s *site) error { return os.Remove(s.path("us_sp_123")) }},
		{name: "a file stands there after a while",
			away: func(s *site) error {
				if err := os.Rename(s.path("us_sp_123"), s.path("elsewhere")); err != nil {
					return err
				}
				return os.WriteFile(s.path("us_sp_123"), nil, 0o600)
			},
			back: func(s *site) error {
				if err := os.Remove(s.path("us_sp_123")); err != nil {
					return err
				}
				return os.Rename(s.path("elsewhere"), s.path("us_sp_123"))
			}},
		{name: "its parent is missing", settings: "destination_directory_path: ./away/us_sp_123",
			back: func(s *site) error { return os.Symlink(".", s.path("away")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &site{t, t.TempDir()}
			if c.before != nil {
				c.before(s)
			}
			k := s.dock("maximum_file_size: 500kB, inbox_quota: 1MB", spaces{"us_sp_123": c.settings, "other": ""})
			client := k.login("us_sp_123")
			want := map[string]string{}
			if c.away != nil {
				want["first.csv"] = "first"
				k.mustUpload(client, "first.csv", "first")
				k.imported("us_sp_123", want)
				if err := c.away(s); err != nil {
					t.Fatal(err)
				}
			}
			k.mustUpload(k.login("other"), "a.csv", "x")
			k.outage(client, want)
			k.imports("other", "a.csv", "x") // it is none of theirs
			if err := c.back(s); err != nil {
				t.Fatal(err)
			}
			k.recovers(client, want)
		})
	}
}

// outage uploads until the inbox is full, and adds to want what was taken.
func (k *dock) outage(c client, want map[string]string) {
	k.t.Helper()
	content := strings.Repeat("0123456789", 40_000)
	for _, name := range []string{"a.csv", "b.csv"} {
		k.mustUpload(c, name, content)
		want[name] = content
	}
	st := k.status("us_sp_123", status.DestinationUnavailable)
	if st.Error == "" || st.Hint == "" {
		k.t.Errorf("it says %q, %q", st.Error, st.Hint)
	}
	wants(k.t, "a full inbox", upload(c, "c.csv", content), "the inbox of this Space is full: it holds 1.0 MB until files are imported")
	k.until("what was refused is gone", func() bool { return len(k.objects("us_sp_123")) == 2 })
	for _, f := range k.waiting("us_sp_123") {
		if int64(len(want[f.Name])) != f.Size {
			k.t.Errorf("the inbox has %s with %d bytes", f.Name, f.Size)
		}
	}
}

// recovers checks that all arrives, and that there is room again.
func (k *dock) recovers(c client, want map[string]string) {
	k.t.Helper()
	k.imported("us_sp_123", want)
	k.status("us_sp_123", status.ConnectionValid)
	k.mustUpload(c, "c.csv", "x")
	want = maps.Clone(want)
	want["c.csv"] = "x"
	k.imported("us_sp_123", want)
	k.until("the inbox is empty", func() bool { return len(k.waiting("us_sp_123")) == 0 })
}
