package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// cutRun is what a program that uploads files knows of them, through all its
// connections.
type cutRun struct {
	*testing.T
	cfg  Config
	root string
	data map[string][]byte

	mu       sync.Mutex
	done     map[string]bool
	kept     map[string]filesync.Checkpoint
	resumed  int
	inDoubt  map[string]filesync.Checkpoint // were being published
	finished map[string]filesync.Entry
}

// pass uploads the files that are missing. Its error is that of a lost connection.
func (c *cutRun) pass(ctx context.Context) error {
	d, err := OpenDestination(ctx, c.cfg, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotOpened, err)
	}
	defer d.Close()
	if err := c.settle(ctx, d); err != nil {
		return err
	}
	if err := d.Sweep(ctx, func(id string) bool {
		for _, k := range c.kept {
			if k.ID == id {
				return true
			}
		}
		return false
	}); err != nil {
		return err
	}
	var all sync.WaitGroup
	var failed error
	for name := range c.data {
		c.mu.Lock()
		done := c.done[name]
		c.mu.Unlock()
		if done {
			continue
		}
		all.Go(func() {
			err := c.upload(ctx, d, name)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	return failed
}

// settle finds out whether files were published before the cut, as a pass does.
func (c *cutRun) settle(ctx context.Context, d *Destination) error {
	for name, k := range c.inDoubt {
		stats, err := d.Stat(ctx, []string{name})
		if err != nil {
			return err
		}
		p, err := d.Begin(ctx, c.finished[name], &k)
		switch {
		case err == nil:
			if err := p.Abort(ctx); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case stats[0].Err == nil && stats[0].Entry.SameVersion(c.finished[name]):
			c.done[name] = true
		default:
			c.Errorf("%s is neither pending nor published: %+v", name, stats[0])
		}
		delete(c.inDoubt, name)
	}
	return nil
}

var errNotOpened = errors.New("not opened")

func (c *cutRun) upload(ctx context.Context, d *Destination, name string) error {
	data := c.data[name]
	e := uploadEntry(name, data)
	c.mu.Lock()
	k, resumes := c.kept[name]
	delete(c.kept, name)
	c.mu.Unlock()
	var p filesync.Pending
	err := fs.ErrNotExist
	if resumes {
		p, err = d.Begin(ctx, e, &k)
	}
	if errors.Is(err, fs.ErrNotExist) {
		k = filesync.Checkpoint{}
		p, err = d.Begin(ctx, e, nil)
	}
	if err != nil {
		return err
	}
	const block = 100_000
	written, saved := k.Prefix, k
	for err == nil && written < int64(len(data)) {
		var n int
		n, err = p.WriteAt(data[written:min(written+block, int64(len(data)))], written)
		written += int64(n)
		if err == nil && saved.Prefix == 0 && written > 1_000_000 {
			saved, err = p.Checkpoint(ctx, written)
		}
	}
	var finished filesync.Entry
	if err == nil {
		finished, err = p.Finish(ctx)
	}
	if err == nil {
		err = d.Sync(ctx, []filesync.Pending{p})[0]
	}
	if err != nil {
		if last, kerr := p.Checkpoint(ctx, written); kerr == nil {
			saved = last
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if saved.Prefix > 0 {
			c.kept[name] = saved
			c.resumed++
			if p.Keep() != nil {
				c.Error("it cannot be kept")
			}
		}
		return err
	}
	c.mu.Lock()
	c.inDoubt[name], c.finished[name] = filesync.Checkpoint{ID: p.ID()}, finished
	c.mu.Unlock()
	err = d.Publish(ctx, []filesync.Publication{{Pending: p}})[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.done[name] = true
		delete(c.inDoubt, name)
	}
	return err
}

// look checks that every file under its own name is whole.
func (c *cutRun) look() {
	c.Helper()
	u := &uploading{T: c.T, root: c.root}
	for _, name := range u.files() {
		if strings.HasSuffix(name, ".part") {
			continue
		}
		want, ours := c.data[name]
		if !ours {
			c.Errorf("%s stands there", name)
			continue
		}
		u.want(name, want)
		if fi, err := os.Stat(u.at(name)); err != nil || !fi.ModTime().Equal(old) {
			c.Errorf("%s: %v, %v", name, fi.ModTime(), err)
		}
	}
	for name := range c.done {
		u.want(name, c.data[name])
	}
}

// A connection that is cut at any moment leaves no wrong file under a final name, and
// every file that was begun can be resumed.
func TestUploadCutAnywhere(t *testing.T) {
	for name, test := range map[string]struct {
		start func(t *testing.T) sftptest.Endpoint
		limit func(l *Limits)
		cuts  int
	}{
		"OpenSSH": {func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
		}, func(*Limits) {}, 20},
		// Checkpoints of acknowledged bytes are to be had when the connection is gone, too.
		"without fsync": {func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
		}, func(l *Limits) { l.fsync.state.Store(featureAbsent) }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := test.start(t)
			r := sftptest.StartRelay(t, e.Addr, time.Millisecond)
			c := &cutRun{
				T: t, cfg: byKey(e.Via(t, r.Addr)), root: e.Root, data: map[string][]byte{}, done: map[string]bool{},
				kept: map[string]filesync.Checkpoint{}, inDoubt: map[string]filesync.Checkpoint{}, finished: map[string]filesync.Entry{},
			}
			c.cfg.Owner = pending.NewOwner("0badcafe", "c", 0)
			c.cfg.Limits = new(Limits)
			c.cfg.Limits.noteRoundTrip(time.Second) // far: large files go wide
			test.limit(c.cfg.Limits)
			random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
			for i := range test.cuts {
				for n := range 5 {
					c.data[fmt.Sprintf("%d/small %d", i, n)] = noise(1000*i + n)
				}
				c.data[fmt.Sprintf("%d/large", i)] = noise(largeFile + 1_000_000 + i)
				before, _ := r.Bytes()
				// Some are cut while they log in, and some when all is written.
				at := before + random.Int64N(largeFile+2_000_000)
				ctx, cancel := context.WithCancel(t.Context())
				var cutter sync.WaitGroup
				cutter.Go(func() {
					look := time.NewTicker(time.Millisecond)
					defer look.Stop()
					for ctx.Err() == nil {
						<-look.C
						if now, _ := r.Bytes(); now >= at {
							r.Cut()
							return
						}
					}
				})
				err := c.pass(t.Context())
				cancel()
				cutter.Wait()
				if err != nil && !errors.Is(err, filesync.ErrDisconnected) && !errors.Is(err, errNotOpened) {
					t.Error(err)
				}
				c.look()
			}
			if err := c.pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.look()
			if len(c.done) != len(c.data) || len((&uploading{T: t, root: c.root}).files()) != len(c.data) {
				t.Errorf("%d of %d files arrived", len(c.done), len(c.data))
			}
			if c.resumed == 0 {
				t.Error("no copy ever went on")
			}
		})
	}
}

// On a server without fsync a checkpoint counts what was acknowledged without a
// gap, whatever the length of the remote file.
func TestCheckpointCountsAcknowledged(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{Without: []string{"fsync@openssh.com"}, MaxWrite: 1000, DieAtWrite: 6}, nil)
	data := noise(10_000)
	p, err := u.Begin(t.Context(), uploadEntry("x", data), nil)
	u.must(err)
	// The end first: the remote file has its full length at once.
	for _, off := range []int64{9000, 0, 1000, 2000, 3000} {
		_, err := p.WriteAt(data[off:off+1000], off)
		u.must(err)
	}
	k, err := p.Checkpoint(t.Context(), 4000)
	if u.must(err); k.Prefix != 4000 {
		t.Errorf("%+v", k)
	}
	// The sixth is done, and its answer lost.
	_, _ = p.WriteAt(data[4000:5000], 4000)
	_, _ = p.WriteAt(data[5000:6000], 5000)
	if _, err = p.Finish(t.Context()); !errors.Is(err, filesync.ErrDisconnected) {
		t.Errorf("Finish: %v", err)
	}

	p, err = u.Begin(t.Context(), uploadEntry("y", data), nil)
	if !errors.Is(err, filesync.ErrDisconnected) {
		t.Errorf("Begin: %v, %v", p, err)
	}
	s.Set(func(f *sftptest.Faults) { f.DieAtWrite = 0 })
	again := uploadTo(t, s.Endpoint, nil)
	q, err := again.Begin(t.Context(), uploadEntry("x", data), &k)
	u.must(err)
	_, err = q.WriteAt(data[9000:], 9000)
	u.must(err)
	if _, err := q.Finish(t.Context()); err == nil {
		t.Error("a file with a gap is taken for a whole one")
	}
	u.must(q.Abort(t.Context()))
	u.wantFiles()
}

// The answer to a checkpoint on a lost connection is what was acknowledged.
func TestCheckpointWhenLost(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{NoExtensions: true}, nil)
	data := noise(100_000)
	p, err := u.Begin(t.Context(), uploadEntry("x", data), nil)
	u.must(err)
	_, err = p.WriteAt(data[:50_000], 0)
	u.must(err)
	waitFor(t, func() bool {
		f := p.(*pendingFile)
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.acked.prefix() == 50_000
	})
	s.Freeze()
	_, err = p.WriteAt(data[50_000:], 50_000)
	u.must(err)
	s.Cut()
	k, err := p.Checkpoint(t.Context(), 100_000)
	if err != nil || k.Prefix != 50_000 {
		t.Errorf("%+v, %v", k, err)
	}
	u.must(p.Keep())
}
