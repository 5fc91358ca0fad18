package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A destination without room is one that cannot be written to.
func TestUploadsWhileTheDestinationIsFull(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()}
	if err := os.Mkdir(s.path("us_sp_123"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", s.path("us_sp_123"), "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("no file system can be mounted here (%v): TestUploadsWhileTheDestinationIsAway has to do", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.path("us_sp_123"), 0); err != nil {
			t.Error(err)
		}
	})
	ballast := s.path("us_sp_123/ballast")
	if err := os.WriteFile(ballast, make([]byte, 900<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	k := s.dock("maximum_file_size: 500kB, inbox_quota: 1MB", spaces{"us_sp_123": ""})
	want := map[string]string{}
	client := k.login("us_sp_123")
	k.outage(client, want)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k.recovers(client, want)
	k.d.stop().gives(0) // before the file system goes
}
