package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	filesync "sftpconnector/sync"
)

func decision(name string, state filesync.State) filesync.Decision {
	return filesync.Decision{Entry: filesync.Entry{Name: name}, State: state, Reason: "as " + name}
}

func TestLeftFiles(t *testing.T) {
	t.Parallel()
	var l leftFiles
	for _, d := range []filesync.Decision{
		decision("b", filesync.StateWaiting), decision("x", filesync.StateExcluded), decision("a", filesync.StateWaiting),
		decision("u", filesync.StateUnsafe), decision("done", filesync.StateDelivered), decision("c", filesync.StateWaiting),
		decision("c", filesync.StateNew), // the last about a file counts
		decision("late", filesync.StateNew), decision("late", filesync.StateWaiting),
	} {
		l.decided(d)
	}
	var got []string
	for _, f := range l.of("7") {
		got = append(got, f.Name+" "+f.State+" "+f.Reason+" "+f.Pass)
	}
	want := []string{"a waiting as a 7", "b waiting as b 7", "late waiting as late 7", "u unsafe as u 7", "x excluded as x 7"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// However many there are, what is kept is bounded, and no excluded file takes the room of
// one that waits.
func TestLeftFilesAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l leftFiles
		states := []filesync.State{filesync.StateWaiting, filesync.StateUnsafe, filesync.StateExcluded, filesync.StateDelivered}
		name := strings.Repeat("x", rapid.SampledFrom([]int{1, 300}).Draw(t, "length"))
		last := map[string]filesync.State{}
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			state := rapid.SampledFrom(states).Draw(t, "state")
			first := rapid.IntRange(0, 2000).Draw(t, "first")
			for i := range rapid.IntRange(0, 300).Draw(t, "n") {
				d := decision(fmt.Sprint(name, first+i), state)
				l.decided(d)
				last[d.Entry.Name] = state
			}
		}
		files := l.of("1")
		bytes, kept := 0, map[string]int{}
		for _, f := range files {
			if string(last[f.Name]) != f.State {
				t.Fatalf("%s is %s, not %s", f.Name, last[f.Name], f.State)
			}
			bytes += sizeOf(f)
			kept[f.State]++
		}
		if len(files) > maxLeft || bytes > maxLeftBytes || bytes != l.bytes {
			t.Fatalf("%d files of %d bytes, counted as %d", len(files), bytes, l.bytes)
		}
		if got := [3]int{kept["waiting"], kept["unsafe"], kept["excluded"]}; got != l.ranks {
			t.Fatalf("counted as %v: %v", l.ranks, got)
		}
	})
	var l leftFiles
	for i := range 3 * maxLeft {
		l.decided(decision(fmt.Sprint("x", i), filesync.StateExcluded))
	}
	const waiting = 200
	for i := range waiting {
		l.decided(decision(fmt.Sprint("w", i), filesync.StateWaiting))
		l.decided(decision(fmt.Sprint("y", i), filesync.StateExcluded))
	}
	if n := l.ranks[0]; n != waiting || l.ranks[2] == 0 {
		t.Errorf("%d of %d that wait are kept, and %d that are excluded", n, waiting, l.ranks[2])
	}
}
