//go:build linux

package world

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/model"
	"sftpconnector/faults/powerfs"
	"sftpconnector/faults/schedule"
	"sftpconnector/faults/sftpd"
)

// slow is how much longer a call takes that is slowed down.
const slow = 200 * time.Millisecond

// disturbLine is about the line between the product and a server.
func (w *world) disturbLine(ctx context.Context, s *site, step schedule.Step) error {
	switch step.Do {
	case schedule.Reset:
		s.relay.Reset()
		return nil
	case schedule.ResetAfter:
		s.relay.ResetAfter(step.Size)
		return nil
	}
	if err := s.setLine(step.Do, true); err != nil {
		return err
	}
	began := time.Now()
	if step.Do == schedule.Refuse {
		s.relay.Reset() // what is connected would go on
	}
	wait(ctx, step.For)
	if step.Do != schedule.OneByte {
		w.outage(s, began, "the line had this: "+string(step.Do))
	}
	return s.setLine(step.Do, false)
}

// outage notes that nothing could be delivered since then. A second at its
// beginning does not count, in which what was on its way may still arrive.
func (w *world) outage(s *site, began time.Time, why string) {
	w.notes.outage(s.Name, model.Span{From: began.Add(time.Second), To: time.Now(), Why: why})
}

func (s *site) setLine(do schedule.Action, on bool) error {
	s.lineMu.Lock()
	defer s.lineMu.Unlock()
	switch do {
	case schedule.HalfOpen:
		s.line.Blackhole = on
	case schedule.Stall:
		s.line.Stall = on
	case schedule.OneByte:
		s.line.OneByte = on
	case schedule.Refuse:
		s.line.Refuse = on
	}
	return s.relay.Set(s.line)
}

// disturbServer is about a server's being there, and its logins.
func (w *world) disturbServer(ctx context.Context, s *site, step schedule.Step) error {
	s.disturbing.Lock() // a server that starts again ends what another fault has begun
	defer s.disturbing.Unlock()
	var change func(bool) error
	switch step.Do {
	case schedule.Restart:
		return s.server.Restart(ctx, step.For)
	case schedule.ChangeKey:
		change = s.server.ChangeKey
	case schedule.ChangePassword:
		change = s.server.ChangePassword
	case schedule.RefuseLogins:
		change = s.server.RefuseLogins
	case schedule.RefuseSessions:
		change = s.server.RefuseSessions
	}
	if err := change(true); err != nil {
		return err
	}
	s.relay.Reset() // sessions of before would not notice
	began := time.Now()
	wait(ctx, step.For)
	w.outage(s, began, "the server had this: "+string(step.Do))
	return change(false)
}

// misbehave has the suite's own server answer wrongly for a while.
func (w *world) misbehave(ctx context.Context, s *site, step schedule.Step) error {
	f := sftpd.Fault{Kind: sftpd.Kind(step.Op), Every: step.Each, Status: uint32(step.Code), Done: step.Done, Delay: slow}
	switch step.Op {
	case "other size":
		f.Kind, f.Lie = sftpd.Attributes, sftpd.Lie{SizeDelta: -3, Random: step.Done}
	case "other time":
		f.Kind, f.Lie = sftpd.Attributes, sftpd.Lie{TimeDelta: -time.Hour, Random: step.Done}
	case "no size":
		f.Kind, f.Lie = sftpd.Attributes, sftpd.Lie{NoSize: true, Random: step.Done}
	case "no time":
		f.Kind, f.Lie = sftpd.Attributes, sftpd.Lie{NoTime: true, Random: step.Done}
	case "no type":
		f.Kind, f.Lie = sftpd.Attributes, sftpd.Lie{NoType: true, Random: step.Done}
	}
	s.server.(*modelServer).add(step, f)
	wait(ctx, step.For)
	s.server.(*modelServer).remove(step)
	return nil
}

// diskFaults are those in force, by the step that they are of.
type diskFaults struct {
	mu     sync.Mutex
	full   map[*powerfs.FS]int // how many steps have it full
	faults map[*powerfs.FS]map[schedule.Step]powerfs.Fault
}

// disturbDisk is about a destination, or the data directory.
func (w *world) disturbDisk(ctx context.Context, step schedule.Step) error {
	disk, under := w.diskOf(step.On), step.On
	began := time.Now()
	switch step.Do {
	case schedule.Full:
		w.faults.fill(disk, 1)
		defer w.faults.fill(disk, -1)
	case schedule.ReadOnly:
		disk.SetReadOnly(under, true)
		defer disk.SetReadOnly(under, false)
	default:
		w.faults.add(disk, step)
		defer w.faults.remove(disk, step)
	}
	wait(ctx, step.For)
	if site := w.sites[step.On]; site != nil {
		switch step.Do {
		case schedule.Full, schedule.ReadOnly, schedule.Away:
			w.outage(site, began, "its destination had this: "+string(step.Do))
		}
	}
	return nil
}

// diskOf returns the disk of a destination, or that of the data directory.
func (w *world) diskOf(id string) *powerfs.FS {
	if s := w.spaces[id]; s != nil {
		return s.disk
	}
	if id == "" {
		return w.data
	}
	return w.disk
}

// fill has a disk full from the first step that wants it so to the last.
func (d *diskFaults) fill(disk *powerfs.FS, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full == nil {
		d.full = map[*powerfs.FS]int{}
	}
	if d.full[disk] += n; d.full[disk] > 0 {
		disk.SetFree(0)
	} else {
		disk.SetFree(-1)
	}
}

func (d *diskFaults) add(disk *powerfs.FS, step schedule.Step) {
	f := powerfs.Fault{Under: step.On, Every: step.Each, Errno: syscall.Errno(step.Code)}
	if step.Do != schedule.Away {
		f.Ops = operations(step.Op)
	}
	if step.Do == schedule.DiskSlow {
		f.Errno, f.Delay = 0, slow
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		d.faults = map[*powerfs.FS]map[schedule.Step]powerfs.Fault{}
	}
	if d.faults[disk] == nil {
		d.faults[disk] = map[schedule.Step]powerfs.Fault{}
	}
	d.faults[disk][step] = f
	disk.Inject(valuesOf(d.faults[disk])...)
}

func (d *diskFaults) remove(disk *powerfs.FS, step schedule.Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.faults[disk], step)
	disk.Inject(valuesOf(d.faults[disk])...)
}

// operations are those of the file system that a schedule names. A file is
// renamed by link and unlink where rename cannot leave what stands there alone.
func operations(name string) []powerfs.Op {
	switch name {
	case "rename":
		return []powerfs.Op{powerfs.OpRename, powerfs.OpLink}
	case "create":
		return []powerfs.Op{powerfs.OpCreate, powerfs.OpOpen}
	default:
		return []powerfs.Op{powerfs.Op(name)}
	}
}

func valuesOf[K comparable, V any](m map[K]V) []V {
	var all []V
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func cutFirst(path string) (first, rest string, ok bool) {
	return strings.Cut(strings.TrimPrefix(path, "/"), "/")
}

// modelServer is the suite's own server.
type modelServer struct {
	*sftpd.Server
	key    ssh.Signer
	mu     sync.Mutex
	faults map[schedule.Step]sftpd.Fault
}

func (m *modelServer) add(step schedule.Step, f sftpd.Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[step] = f
	m.Inject(valuesOf(m.faults)...)
}

func (m *modelServer) remove(step schedule.Step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.faults, step)
	m.Inject(valuesOf(m.faults)...)
}

var errNotYet = errors.New("not yet")
