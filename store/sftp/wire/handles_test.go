package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// All answers under a handle that was given out again are void, and the second OPEN has
// failed.
func TestHandleReused(t *testing.T) {
	const idClose = 11 // of what the session closes by itself
	calls, _ := converse(t, bytes.Join([][]byte{
		packet(typeHandle, idOpen, "h"),
		packet(typeData, idRead, "before"),
		packet(typeHandle, idOpenDir, "h"),
		packet(typeAttrs, idFstat, 0),
		packet(typeName, idReadDir, 1, "x", "", 0),
		packet(typeStatus, idWrite, 0, "", ""),
		packet(typeStatus, idLstat, CodeNoSuchFile, "", ""),
		packet(typeStatus, idClose, 0, "", ""),
	}, nil))
	if calls[0].Err != nil || calls[1].Err != nil {
		t.Errorf("what was answered before: %v, %v", calls[0].Err, calls[1].Err)
	}
	for _, id := range []int{idOpenDir, idFstat, idReadDir, idWrite} {
		if err := calls[id-1].Err; !errors.Is(err, ErrHandleReused) {
			t.Errorf("request %d ended with %v", id, err)
		}
	}
	if err := calls[idLstat-1].Err; errors.Is(err, ErrHandleReused) {
		t.Error("a request about no handle has failed for it")
	}
}

// The second OPEN returns when its handle is closed, not before.
func TestReusedHandleIsClosedFirst(t *testing.T) {
	calls, end := converse(t, bytes.Join([][]byte{
		packet(typeHandle, idOpen, "h"),
		packet(typeHandle, idOpenDir, "h"),
	}, nil))
	if err := calls[idOpenDir-1].Err; !errors.Is(err, end) {
		t.Errorf("without an answer to its CLOSE, the OPENDIR ended with %v", err)
	}
}

func TestHandlesAreFreeAgain(t *testing.T) {
	h := newHandles()
	if !h.add("a") || h.isReused("a") {
		t.Error("a new handle")
	}
	if h.add("a") || !h.isReused("a") || h.isReused("b") {
		t.Error("one that was given out twice")
	}
	h.remove("a")
	if !h.isReused("a") || h.add("a") {
		t.Error("one of two owners still has it")
	}
	h.remove("a")
	h.remove("a")
	if h.isReused("a") || !h.add("a") || len(h.open) != 1 || len(h.reused) != 0 {
		t.Errorf("both have let go: %+v", h)
	}
	h.remove("a")
	h.remove("a") // closed twice
	if len(h.open) != 0 {
		t.Errorf("left over: %v", h.open)
	}
}

// An OK in place of another answer fails the one request, and ends a listing.
func TestOKInsteadOfAnAnswer(t *testing.T) {
	var answers [][]byte
	for id := idOpen; id <= idWrite; id++ {
		answers = append(answers, packet(typeStatus, id, 0, "Success", ""))
	}
	calls, end := converse(t, bytes.Join(answers, nil))
	if !errors.Is(end, io.ErrUnexpectedEOF) {
		t.Errorf("the session ended with %v", end)
	}
	for i, c := range calls {
		_, refused := errors.AsType[*StatusError](c.Err)
		switch {
		case i+1 == idWrite && c.Err == nil, i+1 == idReadDir && errors.Is(c.Err, io.EOF):
		case i+1 != idWrite && i+1 != idReadDir && refused && strings.Contains(c.Err.Error(), "OK instead of an answer"):
		default:
			t.Errorf("request %d ended with %v", i+1, c.Err)
		}
	}
}

// Only a READ or a listing has an end of file.
func TestEndOfFileInsteadOfAHandle(t *testing.T) {
	calls, _ := converse(t, packet(typeStatus, idOpen, 1, "", ""))
	if err := calls[0].Err; errors.Is(err, io.EOF) || err.Error() != "the server answered: end of file" {
		t.Errorf("the OPEN ended with %v", err)
	}
}

func TestNamesOfAPath(t *testing.T) {
	calls, _ := converse(t, bytes.Join([][]byte{
		packet(typeName, idReadLink, 2, "x", "", 0, "y", "", 0),
		packet(typeName, idRealPath, 0),
	}, nil))
	if c := calls[idReadLink-1]; c.Err != nil || c.Text != "x" {
		t.Errorf("two targets: %q, %v", c.Text, c.Err)
	}
	if _, refused := errors.AsType[*StatusError](calls[idRealPath-1].Err); !refused {
		t.Errorf("no path: %v", calls[idRealPath-1].Err)
	}
}

func TestStatusErrors(t *testing.T) {
	for want, e := range map[string]StatusError{
		"no such file":                                  {CodeNoSuchFile, "No such file or directory"},
		"permission denied":                             {CodePermissionDenied, "Permission denied"},
		"permission denied: too many transfers":         {CodePermissionDenied, "too many transfers"},
		"the server answered: failure":                  {CodeFailure, "Failure"},
		"the server answered: failure: disk on fire":    {CodeFailure, "disk on fire"},
		"the server answered: invalid handle":           {CodeInvalidHandle, ""},
		"the server answered: quota exceeded":           {CodeQuota, "Quota exceeded"},
		"the server answered: directory not empty: 3":   {18, "3"},
		"the server answered: SFTP status 32: whatever": {32, "whatever"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestOtherVersion(t *testing.T) {
	rwc := newScripted(packet(typeVersion, 6, "supported", "x"), nil)
	_, err := New(t.Context(), rwc)
	if e, ok := errors.AsType[*VersionError](err); !ok || e.Version != 6 || !strings.Contains(err.Error(), "speaks SFTP version 6, version 3 was asked for") {
		t.Errorf("the start ended with %v", err)
	}
}

// limited is a session with one handle at a time, and the writer of its answers.
func limited(t *testing.T) (*Session, io.Writer) {
	rwc := newScripted(plainVersion, nil)
	read, write := io.Pipe()
	rwc.answers = read
	close(rwc.ready)
	s, err := New(t.Context(), rwc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		write.Close()
	})
	s.LimitHandles(2)
	s.LimitHandles(1)
	s.LimitHandles(3)
	return s, write
}

func inUse(s *Session) int {
	open, opening := s.InUse()
	return open + opening
}

// With a limit, an OPEN is sent when the server has closed the other handle.
func TestLimitOfHandles(t *testing.T) {
	s, server := limited(t)
	answer := func(packet []byte) {
		if _, err := server.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan *Call, 3)
	for range 3 {
		s.Open(&Call{Done: done}, "f")
	}
	if n := s.Waiting(); n != 1 || inUse(s) != 1 {
		t.Errorf("%d requests are under way, %d handles in use", n, inUse(s))
	}
	answer(packet(typeStatus, 1, CodeFailure, "", ""))
	if c := <-done; c.Err == nil {
		t.Error("the first was not refused")
	}
	answer(packet(typeHandle, 2, "a"))
	c := <-done
	if n := s.Waiting(); c.Err != nil || n != 0 || inUse(s) != 1 {
		t.Errorf("the second: %v, with %d requests under way and %d handles in use", c.Err, n, inUse(s))
	}
	s.CloseHandle(c.Handle, nil)
	answer(packet(typeStatus, 3, 0, "", ""))
	answer(packet(typeHandle, 4, "a"))
	if c := <-done; c.Err != nil { // the handle was free, and is given out again
		t.Errorf("the third: %v", c.Err)
	}
}

// The end of the session fails an OPEN that waits.
func TestLimitOfHandlesEnds(t *testing.T) {
	s, _ := limited(t)
	done := make(chan *Call, 2)
	s.Open(&Call{Done: done}, "f")
	s.Open(&Call{Done: done}, "g")
	s.Close()
	for range 2 {
		if c := <-done; !errors.Is(c.Err, ErrClosed) {
			t.Errorf("an OPEN ended with %v", c.Err)
		}
	}
}

// A server that announces extensions without end does not fill the memory.
func TestManyExtensions(t *testing.T) {
	parts := []any{3}
	for i := range 10_000 {
		parts = append(parts, fmt.Sprint(i), "x")
	}
	parts = append(parts, LimitsExtension, strings.Repeat("x", 100_000))
	s, err := New(t.Context(), newScripted(packet(typeVersion, parts...), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := len(s.Extensions()); n != maxExtensions {
		t.Errorf("%d extensions are kept", n)
	}
}
