package smb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	smb2 "github.com/cloudsoda/go-smb2"

	filesync "sftpconnector/sync"
)

const (
	// grace is how long an operation may go on after its context has ended:
	// nearly always that leaves a state that is known.
	grace = 2 * time.Second
	// longest is what one operation may take at most, in Timeouts.Operation,
	// while the server answers others.
	longest = 10
)

// session is a login with the share that it is for. Once the connection is
// lost it stays so.
type session struct {
	target    Target
	operation time.Duration // the server's time for an answer
	wire      *wire
	share     *smb2.Share

	life  context.Context // until the connection ends
	stop  context.CancelFunc
	all   sync.WaitGroup // what goes on in the background
	calls atomic.Int64   // operations that wait for an answer
	since atomic.Int64   // when the first of them began, in Unix nanoseconds
}

// lostError is why the connection is over. It is filesync.ErrDisconnected.
type lostError struct{ why error }

func (e *lostError) Error() string {
	return filesync.ErrDisconnected.Error() + ": " + bare(e.why).Error()
}
func (e *lostError) Unwrap() []error { return []error{filesync.ErrDisconnected, e.why} }

// lost gives the error of a connection that is over, else nil.
func (s *session) lost() error {
	if why := s.wire.reason(); why != nil {
		return &lostError{why}
	}
	return nil
}

// begin has the session watched until the connection ends.
func (s *session) begin() {
	s.all.Go(func() {
		<-s.wire.over
		s.stop()
	})
	s.all.Go(s.watch)
}

// watch ends the connection when the server leaves everything unanswered.
func (s *session) watch() {
	tick := time.NewTicker(max(s.operation/8, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-tick.C:
		}
		waited := time.Since(time.Unix(0, s.since.Load()))
		if s.calls.Load() > 0 && min(waited, s.wire.silent()) >= s.operation {
			s.wire.end(fmt.Errorf("the server has not answered for %v", s.operation))
		}
	}
}

// ask does one operation of the library. That must not see the context of the
// caller: it uses the memory of a request again as soon as somebody has given
// up on it, sent or not, and forgets the handle that a late answer brings. So
// an operation whose context ends has a moment to finish; then the caller goes,
// and drop, if any, has what still comes.
func ask[T any](ctx context.Context, s *session, call func() (T, error), drop func(T)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if err := s.lost(); err != nil {
		return none, err
	}
	type answer struct {
		v   T
		err error
	}
	answers := make(chan answer, 1)
	s.all.Go(func() {
		var a answer
		a.err = s.run(func() (err error) {
			a.v, err = call()
			return err
		})
		answers <- a
	})
	select {
	case a := <-answers:
		return a.v, a.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case a := <-answers:
		return a.v, a.err
	case <-late.C:
	}
	s.all.Go(func() {
		if a := <-answers; a.err == nil && drop != nil {
			drop(a.v)
		}
	})
	return none, context.Cause(ctx)
}

// tell is ask for what has no answer but an error.
func (s *session) tell(ctx context.Context, call func() error) error {
	_, err := ask(ctx, s, func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}

// run does one operation of the library to its end, under watch. An error that
// ends the session becomes that of the lost connection.
func (s *session) run(call func() error) error {
	if s.calls.Add(1) == 1 {
		s.since.Store(time.Now().UnixNano())
	}
	defer s.calls.Add(-1)
	limit := time.AfterFunc(longest*s.operation, func() {
		s.wire.end(fmt.Errorf("the server has not answered one operation for %v", longest*s.operation))
	})
	defer limit.Stop()
	err := guarded(call)
	if err == nil {
		return nil
	}
	if isOver(err) {
		s.wire.end(bare(err))
	}
	if lost := s.lost(); lost != nil {
		return lost
	}
	return err
}

// close ends the connection, and with it the login: the server notices. The
// library's own farewell (Logoff) lets it panic in operations that are under way.
func (s *session) close() error {
	s.wire.Close()
	s.all.Wait()
	return nil
}

// guarded does something with the library, which takes answers apart that
// anybody may have sent: should it panic, the session is over and not the program.
func guarded(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &smb2.InvalidResponseError{Message: fmt.Sprint("it cannot be understood: ", r)}
		}
	}()
	return call()
}

// isLost reports whether err says that the connection is over.
func isLost(err error) bool { return errors.Is(err, filesync.ErrDisconnected) }
