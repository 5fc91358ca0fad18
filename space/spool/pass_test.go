package spool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sftpconnector/space/spool"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// space imports an inbox into a directory.
type space struct {
	*bench
	to     string
	ledger *ledger.Ledger
	memory *ledger.Connector
	shared *pass.Shared // nil: each pass has its own, as after a restart

	// These may stand between a pass and its ends; nil: nothing does.
	source  func() filesync.Source
	wrap    func(*local.Destination) filesync.Destination
	journal func(pass.Ledger) pass.Ledger
}

func newSpace(t *testing.T) *space {
	s := &space{bench: newBench(t, spool.Options{}), to: filepath.Join(t.TempDir(), "to"), shared: pass.NewShared(0)}
	var err error
	s.ledger, err = ledger.Open(t.Context(), t.TempDir())
	s.must(err)
	t.Cleanup(func() { s.ledger.Close() })
	s.memory, err = s.ledger.Connector(t.Context(), "space")
	s.must(err)
	return s
}

// pass imports what is ready.
func (s *space) pass() filesync.Result {
	s.Helper()
	return s.run(func() bool { return false })
}

// run is pass of a program that may be killed: nothing comes after it then.
func (s *space) run(killed func() bool) filesync.Result {
	s.Helper()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	s.must(err)
	id, unclean, err := s.memory.StartPass(s.Context(), filesync.Automatic, time.Now(), true)
	s.must(err)
	to, err := local.Open(s.to, pending.NewOwner(s.ledger.Owner(), "c", 0))
	s.must(err)
	defer to.Close()
	var dst filesync.Destination = to
	if s.wrap != nil {
		dst = s.wrap(to)
	}
	var src filesync.Source = s.src
	if s.source != nil {
		src = s.source()
	}
	var records pass.Ledger = s.memory
	if s.journal != nil {
		records = s.journal(records)
	}
	shared := s.shared
	if shared == nil {
		shared = pass.NewShared(0)
	}
	open := func(context.Context) (filesync.Source, error) { return src, nil }
	r := pass.New(src, open, dst, records, shared, pass.Options{
		ID: id, Mode: filesync.Automatic, Filter: filter, Overwrite: true, Sweep: unclean, AfterCopy: filesync.AfterCopy{Remove: true},
		Once: true, // as the connector of a Space has them
	}).Run(s.Context())
	if !killed() {
		s.must(s.memory.FinishPass(s.Context(), id, r, status.ConnectionValid))
	}
	return r
}

// want checks one import: its file, and that the inbox has it no more.
func (s *space) want(copied int64, name, data string) {
	s.Helper()
	if r := s.pass(); r.Outcome != filesync.Succeeded || r.Files.Copied != copied {
		s.Errorf("%s, %d copied; want %d (%v, %v)", r.Outcome, r.Files.Copied, copied, r.Err, r.Failures)
	}
	if found, err := os.ReadFile(filepath.Join(s.to, name)); err != nil || string(found) != data {
		s.Errorf("%s: %q, %v; want %q", name, found, err, data)
	}
	s.wantReady()
	s.wantUsage(0, 0)
}

// A pass imports uploads: each version, once, and removes it from the spool.
func TestPass(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	c := s.connect()
	s.must(c.Mkdir("d"))
	s.putAt(c, "d/x", "first", then)
	s.want(1, "d/x", "first")
	// The same size and time again.
	s.putAt(c, "d/x", "again", then)
	s.want(1, "d/x", "again")
	s.want(0, "d/x", "again")
	for i := range 200 {
		s.put(c, fmt.Sprintf("many %d", i), "data")
	}
	s.want(200, "many 7", "data")
	// Half a file, and one under a temporary name, stay.
	s.put(c, "y.part", "temporary")
	f, err := c.Create("half")
	s.must(err)
	if r := s.pass(); r.Files.Copied != 0 {
		t.Errorf("%+v", r.Files)
	}
	s.must(f.Close())
	s.must(c.Rename("y.part", "y"))
	s.want(2, "y", "temporary")
	// So after a restart.
	s.put(c, "d/x", "third")
	s.again()
	s.want(1, "d/x", "third")
}

// A client replaces a file again and again while passes run: each version that
// is in the destination in the end is the last one, and none is a mixture.
func TestPassWhileReplaced(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	c := s.connect()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for i := range 60 {
			// Equal size and time, so that only the inbox can tell them apart.
			s.putAt(c, "x", fmt.Sprintf("version %04d", i), then)
		}
	}()
	for done := false; !done; {
		select {
		case <-finished:
			done = true
		default:
		}
		if r := s.pass(); r.Err != nil || r.Files.Failed > 0 {
			t.Errorf("%+v", r)
		}
	}
	s.pass()
	s.want(0, "x", "version 0059")
}
