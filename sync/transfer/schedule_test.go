package transfer

import (
	"testing"
	"time"

	filesync "sftpconnector/sync"
)

// Who submits a file whose copy is being cancelled, as its last pass leaves, does not join
// that copy: it would get no file. The file follows, and is decided about anew.
func TestOrphansAreNotJoined(t *testing.T) {
	t.Parallel()
	s := schedule{ctx: t.Context(), jobs: map[string]*job{}}
	leaving, coming := &Client{}, &Client{}
	file := File{Entry: filesync.Entry{Name: "f", Size: 1, ModTime: time.Unix(1, 0)}, Name: "f"}
	s.place(leaving, file)
	begun := s.next()
	dropped, orphans := s.dropAll(leaving)
	if dropped != 0 || len(orphans) != 1 || orphans[0] != begun {
		t.Fatalf("%d dropped, orphans %v", dropped, orphans)
	}
	if answer := s.place(coming, file); answer != nil {
		t.Fatalf("answered at once: %+v", *answer)
	}
	if begun.has(coming) {
		t.Fatal("it has joined the orphan")
	}
	s.copied(begun)
	if waiting := s.settle(begun); len(waiting) != 1 || waiting[0] != leaving {
		t.Errorf("the orphan is waited for by %v", waiting)
	}
	if next := s.next(); next == nil || !next.has(coming) || !next.anew {
		t.Errorf("what follows: %+v", next)
	}
}
