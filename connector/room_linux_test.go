package connector

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	filesync "sftpconnector/sync"
)

// begins is a destination that does not tell of its room, and counts the files that are
// begun in it.
type begins struct {
	filesync.Destination
	n *atomic.Int64
}

func (b begins) Begin(ctx context.Context, e filesync.Entry, from *filesync.Checkpoint) (filesync.Pending, error) {
	b.n.Add(1)
	return b.Destination.Begin(ctx, e, from)
}

// A destination directory without room is tried again within the interval, however long it
// has had none, but not every few seconds.
func TestRoomIsNoticedWithinTheInterval(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sync        string
		full        time.Duration // for so long there is no room
		least, most int64         // files begun meanwhile
		noticed     time.Duration
	}{
		"ten minutes": {"10m", 5 * time.Hour, 25, 40, 11 * time.Minute},
		"two seconds": {"2s", 2 * time.Minute, 10, 16, 13 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				cfg := w.connectorNamed("c", test.sync)
				to := cfg.Files.DestinationDirectoryPath
				if err := os.Mkdir(to, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount("tmpfs", to, "tmpfs", 0, "size=1m"); err != nil {
					t.Logf("no file system can be mounted here (%v)", err)
					return
				}
				t.Cleanup(func() {
					if err := unix.Unmount(to, 0); err != nil {
						t.Error(err)
					}
				})
				ballast := filepath.Join(to, "ballast")
				if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
					t.Fatal(err)
				}
				var begun atomic.Int64
				w.answerShare(func(d filesync.Destination) (filesync.Destination, error) { return begins{d, &begun}, nil })
				w.start(cfg)
				w.pass(test.full)
				if n := begun.Load(); n < test.least || n > test.most {
					t.Errorf("%d files were begun in %v, want %d to %d", n, test.full, test.least, test.most)
				}
				if err := os.Remove(ballast); err != nil {
					t.Fatal(err)
				}
				w.pass(test.noticed)
				if got, err := os.ReadFile(filepath.Join(to, "a")); err != nil || string(got) != "one" {
					t.Errorf("%v after there was room again: %q, %v", test.noticed, got, err)
				}
				w.end() // before the file system goes
			})
		})
	}
}
