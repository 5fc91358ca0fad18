package main

import (
	"os"
	"strings"
	"testing"

	"sftpconnector/interapp"
)

// An inbox that refuses uploads is seen in space list and in check, although the
// destination of the Space is well.
func TestFullInboxIsSeen(t *testing.T) {
	t.Parallel()
	full := interapp.Space{ID: "us_1", ConnectionStatus: "Connection Valid", Inbox: interapp.Inbox{
		Entries: 200_000, MaximumEntries: 200_000, Full: "the inbox of this Space is full: it holds 200,000 files and directories",
	}}
	c := checkOfSpace(full)
	if fine(c) || c.Hint == "" || !strings.Contains(c.Stages[0].Detail, full.Inbox.Full) {
		t.Errorf("%+v", c)
	}
	if err := spacesCode([]interapp.Space{full}); err == nil {
		t.Error("space list exits with 0")
	}
	free := full
	free.Inbox.Entries, free.Inbox.Full = 17, ""
	c = checkOfSpace(free)
	if !fine(c) || !strings.Contains(c.Stages[0].Detail, "17 of 200,000 files and directories") {
		t.Errorf("%+v", c)
	}
	if err := spacesCode([]interapp.Space{free}); err != nil {
		t.Error(err)
	}
}

// space list and check tell how much of the limit is used.
func TestEntriesOfAnInboxAreTold(t *testing.T) {
	t.Parallel()
	s := newSpaces(t, "")
	for _, dir := range []string{"a", "b"} {
		if err := os.MkdirAll(s.path("data/spaces/us_1/"+dir), 0o700); err != nil {
			t.Fatal(err)
		}
		s.write("data/spaces/us_1/"+dir+"/x", "data")
	}
	s.run("space", "list", "us_1").gives(0, "4 of 200,000")
	if in := s.spaceAt("us_1").Inbox; in.Entries != 4 || in.MaximumEntries != 200_000 {
		t.Errorf("%+v", in)
	}
	s.run("check").gives(0, "spaces/us_1", "4 of 200,000 files and directories")
}
