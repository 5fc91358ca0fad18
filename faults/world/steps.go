//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sftpconnector/faults/model"
	"sftpconnector/faults/powerfs"
	"sftpconnector/faults/schedule"
)

type (
	modelSum    = model.Sum
	modelUpload = model.Upload
)

// happen carries all steps out, each at its time, and returns when the last
// fault is over.
func (w *world) happen(ctx context.Context) error {
	start := time.Now()
	var group sync.WaitGroup
	errs := make(chan error, len(w.schedule.Steps))
	for _, step := range w.schedule.Steps {
		group.Go(func() {
			select {
			case <-time.After(step.At - time.Since(start)):
			case <-ctx.Done():
				return
			}
			w.notes.add(step.Do, step.On)
			if err := w.do(ctx, step); err != nil && ctx.Err() == nil {
				errs <- fmt.Errorf("%s %s: %w", step.Do, step.On, err)
			}
		})
	}
	group.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// do carries one step out, and returns when it is over.
func (w *world) do(ctx context.Context, step schedule.Step) error {
	site := w.sites[step.On]
	switch step.Do {
	case schedule.Write, schedule.Publish, schedule.Grow, schedule.Remove, schedule.Rename, schedule.Directory, schedule.Link:
		return site.source.do(ctx, step)
	case schedule.Take:
		return site.take(step)
	case schedule.Plant:
		return w.plant(site, step)
	case schedule.Request:
		return w.request(ctx, site, step)
	case schedule.Apply:
		_, _ = w.api.apply(ctx, step.On) // its passes are checked
		return nil
	case schedule.Upload:
		return w.upload(ctx, w.spaces[step.On], step)
	case schedule.Reset, schedule.ResetAfter, schedule.HalfOpen, schedule.Stall, schedule.OneByte, schedule.Refuse:
		return w.disturbLine(ctx, site, step)
	case schedule.Restart, schedule.ChangeKey, schedule.ChangePassword, schedule.RefuseLogins, schedule.RefuseSessions:
		return w.disturbServer(ctx, site, step)
	case schedule.Misbehave:
		return w.misbehave(ctx, site, step)
	case schedule.RestartShare:
		return site.share.restart(ctx, step.For)
	case schedule.Full, schedule.ReadOnly, schedule.Away, schedule.DiskFail, schedule.DiskSlow:
		return w.disturbDisk(ctx, step)
	case schedule.ReceiverFails:
		w.receiver.failing.Store(true)
		wait(ctx, step.For)
		w.receiver.failing.Store(false)
		return nil
	default:
		return w.disturbDaemon(ctx, step)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// disturbDaemon is about the daemon, its ledger, its clock and its power.
func (w *world) disturbDaemon(ctx context.Context, step schedule.Step) error {
	switch step.Do {
	case schedule.Reload:
		return w.reload()
	case schedule.Clock:
		return os.WriteFile(w.clock, []byte(strconv.FormatInt(int64(step.For), 10)), 0o644)
	case schedule.LockLedger:
		return w.lockLedger(ctx, step.For)
	}
	w.power.Lock()
	defer w.power.Unlock()
	switch step.Do {
	case schedule.Stop:
		w.daemon.signal(syscall.SIGSTOP)
		wait(ctx, step.For)
		w.daemon.signal(syscall.SIGCONT)
		return nil
	case schedule.GarbleLedger:
		return w.garbleLedger(ctx, step.Op)
	}
	w.daemon.hold()
	defer w.daemon.release()
	switch step.Do {
	case schedule.Kill:
		w.daemon.kill()
	case schedule.Term:
		if !w.daemon.end() {
			w.notes.violation("the daemon ends when it is asked to", "not within 20 s of SIGTERM")
		}
	case schedule.PowerCut:
		w.cutPower()
	default:
		return errors.New("no such step")
	}
	wait(ctx, step.For)
	return nil
}

// reload changes the configuration, and has the daemon read it.
func (w *world) reload() error {
	w.power.Lock()
	defer w.power.Unlock()
	w.reloads++
	// At no moment there is half a configuration, which a start might meet.
	next := w.path("config.yaml.new")
	if err := os.WriteFile(next, w.configuration(), 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, w.path("config.yaml")); err != nil {
		return err
	}
	w.daemon.signal(syscall.SIGHUP)
	return nil
}

// cutPower has everything forgotten that was not durable.
func (w *world) cutPower() {
	w.disk.Cut()
	w.data.Cut()
	w.daemon.kill()
	w.notes.lost(w.disk.Restore(w.random))
	w.notes.lost(w.data.Restore(w.random))
	// What stands now is looked at before the product comes back and mends it. Sizes
	// and times may have survived without their contents.
	for _, s := range w.sites {
		if s.onDisk() {
			s.watcher.forget()
			s.watcher.lookAround()
		}
	}
	for _, s := range w.spaces {
		s.watcher.forget()
		s.watcher.lookAround()
	}
}

// take removes the copy of a file, as a reader that has done with it does.
func (s *site) take(step schedule.Step) error {
	name := model.Target(s.Connector, step.Path)
	s.mu.Lock()
	s.taken[name] = true
	s.mu.Unlock()
	_ = os.Remove(filepath.Join(s.destination, filepath.FromSlash(name))) // it may not be there
	return nil
}

// plant puts a foreign file where a copy would go, unless something is there. It
// appears whole. What a disk with a fault refuses is not planted.
func (w *world) plant(s *site, step schedule.Step) error {
	name := model.Target(s.Connector, step.Path)
	path := filepath.Join(s.destination, filepath.FromSlash(name))
	staging := filepath.Join(filepath.Dir(s.destination), "."+s.Name+".planted")
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil || os.MkdirAll(staging, 0o755) != nil {
		return nil
	}
	whole := filepath.Join(staging, fmt.Sprint(step.At.Nanoseconds()))
	f, err := os.Create(whole)
	if err != nil {
		return nil
	}
	sum := model.NewSummer()
	_, err = io.Copy(io.MultiWriter(f, sum), s.source.contents("planted "+step.Path, step.Size))
	if errors.Join(err, f.Sync(), f.Close()) != nil {
		return nil
	}
	s.mu.Lock()
	s.planted[name] = append(s.planted[name], sum.Sum())
	s.mu.Unlock()
	if os.Link(whole, path) == nil {
		_ = syncDirectory(filepath.Dir(path))
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.planted[name] = s.planted[name][:len(s.planted[name])-1]; len(s.planted[name]) == 0 {
		delete(s.planted, name)
	}
	return nil
}

// diskChanged has the reader of a destination look at what has changed there.
func (w *world) diskChanged(e powerfs.Event) {
	for _, path := range []string{e.Path, e.To} {
		of, name, ok := cutFirst(path)
		if !ok {
			continue
		}
		if s, ok := w.sites[of]; ok {
			s.watcher.changed(name)
		}
		if s, ok := w.spaces[of]; ok {
			s.watcher.changed(name)
		}
	}
}
