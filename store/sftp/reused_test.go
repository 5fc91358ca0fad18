package sftp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// likeFiles puts files of one size and one time, each with contents of its own.
func likeFiles(t *testing.T, e sftptest.Endpoint, prefix string, n int) map[string]string {
	t.Helper()
	want := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("%s%04d.csv", prefix, i)
		want[name] = fmt.Sprintf("contents of %-1000d", i)
		put(t, e, name, []byte(want[name]))
	}
	return want
}

// Erlang's daemon gives everything one handle that is opened while two others are
// open. What is delivered is right all the same, and no original is lost.
func TestErlang(t *testing.T) {
	for _, connections := range []int{0, 1} {
		srv := sftptest.StartErlang(t)
		cfg := byPassword(srv.Endpoint)
		cfg.Connections = connections
		d := newDownloader(t, cfg)
		want := likeFiles(t, srv.Endpoint, "", 200)
		for i := range 30 {
			for name, text := range likeFiles(t, srv.Endpoint, fmt.Sprintf("tree/d%d/f", i), 3) {
				want[name] = text + fmt.Sprint(i)
				put(t, srv.Endpoint, name, []byte(want[name]))
			}
		}
		want["large.bin"] = string(noise(20 << 20))
		put(t, srv.Endpoint, "large.bin", []byte(want["large.bin"]))
		d.pass(func(o *pass.Options) { o.AfterCopy.Remove = true })
		wantFiles(t, d.dir, want)
		if n := d.cfg.Limits.channelHandles.Load(); n != 1 {
			t.Errorf("connections %d: %d handles a channel are remembered", connections, n)
		}
		wantFiles(t, srv.Root, nil)
	}
}

// A server that gives out handles twice, to files and directories alike, whether
// the older one lives on or not, delivers everything right.
func TestHandlesReused(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"third":             {ReuseHandle: func(open int) bool { return open >= 2 }},
		"second":            {ReuseHandle: func(open int) bool { return open >= 1 }},
		"replaced":          {ReuseHandle: func(open int) bool { return open >= 1 }, ReuseReplaces: true},
		"at random":         {ReuseHandle: func(int) bool { return rand.IntN(8) == 0 }},
		"replaced, random":  {ReuseHandle: func(int) bool { return rand.IntN(8) == 0 }, ReuseReplaces: true},
		"one channel":       {ReuseHandle: func(int) bool { return rand.IntN(4) == 0 }, MaxChannels: 1},
		"shuffled":          {ReuseHandle: func(int) bool { return rand.IntN(8) == 0 }, ShuffleReads: true},
		"and few of them":   {ReuseHandle: func(open int) bool { return open >= 1 }, MaxHandles: 4},
		"and one connected": {ReuseHandle: func(open int) bool { return open >= 2 }, MaxHandles: 1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, f)
			want := map[string]string{}
			for i := range 20 {
				for name, text := range likeFiles(t, srv.Endpoint, fmt.Sprintf("d%d/f", i), 15) {
					want[name] = strings.Replace(text, "contents", fmt.Sprintf("contents %4d", i), 1)
					put(t, srv.Endpoint, name, []byte(want[name]))
				}
			}
			d := newDownloader(t, byKey(srv.Endpoint))
			d.pass(func(o *pass.Options) { o.AfterCopy.Remove = true })
			wantFiles(t, d.dir, want)
			wantFiles(t, srv.Root, nil)
		})
	}
}

// Who reads under a handle that is given out once more learns that the copy has to
// begin anew.
func TestReusedHandleOfAFile(t *testing.T) {
	var once sync.Once
	reuse, opened := make(chan struct{}), make(chan struct{})
	srv := faulty(t, sftptest.Faults{
		MaxChannels: 1,
		ReuseHandle: func(open int) bool {
			select {
			case <-reuse:
				return true
			default:
				return false
			}
		},
	})
	srv.Set(func(f *sftptest.Faults) {
		f.OnRead = func(string, int64) { once.Do(func() { close(opened) }) }
		f.Bandwidth = 4 << 20
	})
	e := put(t, srv.Endpoint, "large.bin", noise(4<<20))
	other := put(t, srv.Endpoint, "other.csv", noise(10))
	s := openSource(t, byKey(srv.Endpoint))
	failed := make(chan error, 1)
	go func() {
		_, err := s.Fetch(t.Context(), e, 0, &memory{})
		failed <- err
	}()
	<-opened
	close(reuse)
	fetchAll(t, s, other, noise(10)) // waits for the handle
	if err := <-failed; !errors.Is(err, filesync.ErrBeginAnew) {
		t.Errorf("the file that was being read: %v", err)
	}
	fetchAll(t, s, e, noise(4<<20))
}
