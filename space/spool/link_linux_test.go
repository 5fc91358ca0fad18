package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/store/local"
	filesync "sftpconnector/sync"
)

// tight is a destination that has hardly any room.
type tight struct{ *local.Destination }

func (tight) Room(context.Context, string) (filesync.Room, error) {
	return filesync.Room{Free: 1 << 20, Total: 1 << 40}, nil
}

// An upload of 1 GiB is imported without a copy of it, into a destination that has no
// room for one: the file at the destination is the object. Its mode and time are those
// that a copy has.
func TestImportWithoutCopy(t *testing.T) {
	const size = 1 << 30
	s := newSpace(t)
	s.wrap = func(d *local.Destination) filesync.Destination { return tight{d} }
	s.must(os.WriteFile(filepath.Join(s.inbox, "x"), nil, 0o600))
	s.must(os.Truncate(filepath.Join(s.inbox, "x"), size))
	s.must(os.Chtimes(filepath.Join(s.inbox, "x"), then, then))
	s.again() // takes it over
	object, err := os.Stat(s.objects()[0])
	s.must(err)
	r := s.pass()
	if r.Outcome != filesync.Succeeded || r.Files.Copied != 1 || r.Files.Bytes != size {
		t.Fatalf("%s, %+v (%v, %v)", r.Outcome, r.Files, r.Err, r.Failures)
	}
	info, err := os.Stat(filepath.Join(s.to, "x"))
	s.must(err)
	if !os.SameFile(object, info) || info.Size() != size || !info.ModTime().Equal(then) {
		t.Errorf("it is another file, or changed: %v, %v", info, object)
	}
	s.must(os.WriteFile(filepath.Join(s.to, "new"), nil, 0o666))
	fresh, err := os.Stat(filepath.Join(s.to, "new"))
	s.must(err)
	if info.Mode() != fresh.Mode() {
		t.Errorf("mode %v; a new file has %v", info.Mode(), fresh.Mode())
	}
	s.eventually("the object is removed", func() bool { return len(s.objects()) == 0 })
	s.wantUsage(0, 0)

	// What cannot be linked is copied: it has another name already.
	s.wrap = nil
	c := s.connect()
	s.put(c, "y", "data")
	s.must(os.Link(s.objects()[0], filepath.Join(t.TempDir(), "name")))
	object, err = os.Stat(s.objects()[0])
	s.must(err)
	if r := s.pass(); r.Files.Copied != 1 {
		t.Fatalf("%+v (%v)", r.Files, r.Failures)
	}
	if info, err = os.Stat(filepath.Join(s.to, "y")); err != nil || os.SameFile(object, info) {
		t.Errorf("y: %v, or it is not a copy", err)
	}
}

// What a program does to an imported file in its place changes that one only, however
// soon: not what the spool has, or imports next.
func TestLinkedIsWrittenTo(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	c := s.connect()
	for i := range 3 {
		data := fmt.Sprintf("version %d", i)
		s.putAt(c, "x", data, then)
		s.want(1, "x", data)
		f, err := os.OpenFile(filepath.Join(s.to, "x"), os.O_WRONLY|os.O_APPEND, 0)
		s.must(err)
		_, err = f.WriteString(" and more")
		s.must(errors.Join(err, f.Close()))
	}
}
