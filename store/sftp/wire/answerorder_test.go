package wire

import (
	"context"
	"testing"
	"time"
)

// An answer to a later request does not advance the order. An answer to an earlier one
// does, and so does a caller that is gone.
func TestAnswerOrder(t *testing.T) {
	s, server := limited(t)
	answer := func(packet []byte) {
		if _, err := server.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, coming bool) (since time.Time) {
		t.Helper()
		u, ok := s.Unanswered()
		if ok != (what != "") || u.What != what || u.Coming != coming {
			t.Errorf("%+v, %v waits, want %q", u, ok, what)
		}
		return u.Since
	}
	want("", false)
	calls := make([]*Call, 5)
	for i := range calls {
		calls[i] = &Call{Done: make(chan *Call, 1)}
	}
	s.Lstat(calls[0], "a") // 1
	s.Stat(calls[1], "b")
	s.Remove(calls[2], "c")
	s.Fstat(calls[3], "h")
	s.RealPath(calls[4], "d")
	first := want("LSTAT", false)
	answer(packet(typeStatus, 2, CodeFailure, "", ""))
	<-calls[1].Done
	if since := want("LSTAT", false); !since.Equal(first) {
		t.Error("an answer to a later one moved it on")
	}
	answer(packet(typeStatus, 1, CodeFailure, "", ""))
	<-calls[0].Done
	if since := want("REMOVE", false); !since.After(calls[2].sent) {
		t.Error("the answer before it did not move it on")
	}
	whole := packet(typeStatus, 3, CodeFailure, "", "")
	answer(whole[:9])
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if u, _ := s.Unanswered(); u.Coming {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a part of an answer is not seen")
		}
	}
	answer(whole[9:])
	<-calls[2].Done
	want("FSTAT", false)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = calls[3].Wait(gone)
	want("REALPATH", false)
	answer(packet(typeStatus, 4, CodeFailure, "", ""))
	answer(packet(typeStatus, 5, CodeFailure, "", ""))
	<-calls[4].Done
	want("", false)
}
