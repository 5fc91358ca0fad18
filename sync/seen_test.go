package sync_test

import (
	"fmt"
	"strings"
	"testing"

	filesync "sftpconnector/sync"
)

func TestUnlisted(t *testing.T) {
	var u filesync.Unlisted
	if u.Covers("") || u.Covers("a/b") || !u.Empty() {
		t.Error("an empty one covers something")
	}
	u.Add("a/b")
	for name, want := range map[string]bool{"a/b": true, "a/b/c/d": true, "a": false, "a/bc": false, "a/c": false, "": false} {
		if u.Covers(name) != want {
			t.Errorf("covers %q: %v", name, !want)
		}
	}
	u.Add("")
	if !u.Covers("") || !u.Covers("x") {
		t.Error("the root covers not all")
	}
}

// Of more than can be remembered, the directories above count as not listed.
func TestUnlistedIsBounded(t *testing.T) {
	var u filesync.Unlisted
	for i := range 100_000 {
		u.Add(fmt.Sprintf("many/of/them/%06d/node_modules", i))
	}
	u.Add("other/lost+found")
	if got := u.Bytes(); got > 4<<20 {
		t.Errorf("%d bytes", got)
	}
	for name, want := range map[string]bool{
		"many/of/them/000001/node_modules/x": true, "many/of/them/099999/node_modules": true,
		"other/lost+found/x": true, "other/x": false, "many/x": false,
	} {
		if u.Covers(name) != want {
			t.Errorf("covers %q: %v", name, !want)
		}
	}
	for i := range 100_000 {
		u.Add(fmt.Sprintf("%06d", i) + strings.Repeat("x", 200))
	}
	if got := u.Bytes(); got > 4<<20 || !u.Covers("anything") {
		t.Errorf("%d bytes, covers all: %v", got, u.Covers("anything"))
	}
}
