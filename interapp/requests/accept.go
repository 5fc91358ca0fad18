package requests

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

const (
	maxTimeout = 24 * time.Hour
)

// Accept takes a request for a connector from the caller with that token name,
// "" for none. It is in the ledger when Accept returns. The same id with the same request
// gives what became of it. Errors: *Invalid, ErrTaken, ErrFull, connector.ErrUnknown,
// *connector.PausedError.
func (s *Service) Accept(ctx context.Context, connector, token string, r interapp.Request) (interapp.RequestState, error) {
	c, err := s.set.Get(connector)
	if err != nil {
		return interapp.RequestState{}, err
	}
	now := time.Now()
	timeout, err := s.check(&r, c.Config().TimeZone.Location, now)
	if err != nil {
		return interapp.RequestState{}, err
	}
	if refused := cmp.Or(c.Refused(), s.full(token)); refused != nil {
		if _, err := s.kept(ctx, r.ID); errors.Is(err, ErrUnknown) {
			return interapp.RequestState{}, refused
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return interapp.RequestState{}, err
	}
	kept, added, err := s.ledger.AcceptRequest(ctx, ledger.Request{
		ID: r.ID, Connector: connector, Body: string(body), Token: token, ReplyTo: r.ReplyTo, Accepted: now, Deadline: now.Add(timeout),
	})
	switch {
	case err != nil:
		return interapp.RequestState{}, err
	case kept.Connector != connector || kept.Token != token || kept.Body != string(body):
		return interapp.RequestState{}, ErrTaken
	}
	state, err := stateOf(kept)
	if added {
		s.log.Info("request accepted", "connector", connector, "request", r.ID, "source", r.Source, "file_name_filter", r.FileNameFilter)
		s.changed(state)
		s.start(kept)
	}
	return state, err
}

// check validates a request, gives it an id if it has none, and tells its timeout.
func (s *Service) check(r *interapp.Request, zone *time.Location, now time.Time) (time.Duration, error) {
	if r.ID == "" {
		r.ID = strings.ToLower(rand.Text())
	}
	if len(r.ID) > 200 || strings.ContainsFunc(r.ID, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return 0, &Invalid{"id", "allowed: 1 to 200 printable ASCII characters without spaces, or none to have one made"}
	}
	if _, err := selection(*r, zone, now); err != nil {
		return 0, err
	}
	if r.ReplyTo != "" {
		if err := s.poster.Check(r.ReplyTo); err != nil {
			return 0, &Invalid{"reply_to", err.Error()}
		}
	}
	if r.Timeout == "" {
		r.Timeout = "5m" // the same request, whether it says so or not
	}
	timeout, err := config.ParseDuration(r.Timeout)
	if err != nil || timeout.Std() < time.Second || timeout.Std() > maxTimeout {
		return 0, &Invalid{"timeout", "allowed: from 1s to 24h, such as 5m"}
	}
	return timeout.Std(), nil
}

// selection compiles the filters of a request that was accepted at that time.
// Its error is an *Invalid.
func selection(r interapp.Request, zone *time.Location, accepted time.Time) (*filesync.Selection, error) {
	var f interapp.FileTimeFilter
	if r.FileTimeFilter != nil {
		f = *r.FileTimeFilter
	}
	from, err := instant(f.From, "file_time_filter.from", zone)
	if err != nil {
		return nil, err
	}
	to, err := instant(f.To, "file_time_filter.to", zone)
	if err != nil {
		return nil, err
	}
	if f.NewerThan != "" {
		if f.From != "" {
			return nil, &Invalid{"file_time_filter.newer_than", "it stands for from: send one of the two"}
		}
		age, err := config.ParseDuration(f.NewerThan)
		if err != nil {
			return nil, &Invalid{"file_time_filter.newer_than", err.Error()}
		}
		from = accepted.Add(-age.Std())
	}
	return compile(r.FileNameFilter, from, to)
}

// compile makes a Selection. Its error is an *Invalid.
func compile(name string, from, to time.Time) (*filesync.Selection, error) {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return nil, &Invalid{"file_time_filter", fmt.Sprintf("from (%s) has to be before to (%s)", from.Format(time.RFC3339), to.Format(time.RFC3339))}
	}
	sel, err := filesync.NewSelection(name, from, to)
	if err != nil {
		return nil, &Invalid{"file_name_filter", err.Error()}
	}
	return sel, nil
}

// instant reads a time; "" is none. Without a zone it is in the given one.
func instant(text, field string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &Invalid{field, "not a time; allowed: 2006-01-02T15:04:05Z, 2006-01-02T15:04:05+01:00, or without a zone in the connector's time_zone, also 2006-01-02"}
}

// Request gives a request by its id, with all that its owner sees, or ErrUnknown.
func (s *Service) Request(ctx context.Context, id string) (interapp.RequestState, error) {
	return s.requestState(ctx, Caller{All: true}, id)
}

// requestState gives a request as the caller may see it, or ErrUnknown.
func (s *Service) requestState(ctx context.Context, by Caller, id string) (interapp.RequestState, error) {
	r, err := s.kept(ctx, id)
	if err != nil {
		return interapp.RequestState{}, err
	}
	return s.seenBy(by, r)
}

// seenBy is a request as the caller may see it, with how far it has come.
func (s *Service) seenBy(by Caller, r ledger.Request) (interapp.RequestState, error) {
	state, err := stateOf(r)
	if !by.owns(r.Token) {
		state.Request.ReplyTo = withoutQuery(state.Request.ReplyTo)
	}
	if j := s.job(r.ID); j != nil && !state.Ended() {
		if look := j.progress.Load(); look != nil {
			p := interapp.Progress((*look)())
			state.Progress = &p
		}
	}
	return state, err
}

// kept is a request as the ledger has it, or ErrUnknown.
func (s *Service) kept(ctx context.Context, id string) (ledger.Request, error) {
	r, err := s.ledger.Request(ctx, id)
	if errors.Is(err, ledger.ErrNoRequest) {
		err = ErrUnknown
	}
	return r, err
}

// Wait gives a request, or ErrUnknown, once it has ended; when ctx or Run ends
// before, as it is then. For a caller whose it is not, the query of reply_to is blank.
func (s *Service) Wait(ctx context.Context, by Caller, id string) (interapp.RequestState, error) {
	for {
		if j := s.job(id); j != nil {
			select {
			case <-j.done:
			case <-ctx.Done():
			}
		}
		state, err := s.requestState(context.WithoutCancel(ctx), by, id)
		if err != nil || state.Ended() {
			return state, err
		}
		select {
		case <-ctx.Done():
			return state, nil
		case <-s.over():
			return state, nil
		case <-time.After(lookAgain):
		}
	}
}

// lookAgain is the time until a request is looked at again that nobody here
// works on: it is just being accepted, or another process has it.
const lookAgain = 50 * time.Millisecond

// Cancel ends a request, whose answer is cancelled then. One that has ended
// stays as it is. Errors: ErrUnknown, ErrForeign.
func (s *Service) Cancel(ctx context.Context, by Caller, id string) (interapp.RequestState, error) {
	r, err := s.kept(ctx, id)
	switch {
	case err != nil:
		return interapp.RequestState{}, err
	case !by.owns(r.Token):
		return interapp.RequestState{}, ErrForeign
	}
	if j := s.job(id); j != nil {
		j.cancel(errCancelled)
		return s.Wait(ctx, by, id)
	}
	state, err := stateOf(r)
	if err != nil || state.Ended() {
		return state, err
	}
	// Nobody works on it yet, or any more. Whoever begins finds its answer given.
	if err := s.answer(ctx, state, interapp.RequestCancelled, emptyReply(state, "it was cancelled")); err != nil {
		return state, err
	}
	return s.requestState(ctx, by, id)
}

// stateOf is a request as programs see it.
func stateOf(r ledger.Request) (interapp.RequestState, error) {
	s := interapp.RequestState{ID: r.ID, Connector: r.Connector, State: r.State, Accepted: r.Accepted, Deadline: r.Deadline}
	if err := json.Unmarshal([]byte(r.Body), &s.Request); err != nil {
		return s, fmt.Errorf("request %s in the ledger: %w", r.ID, err)
	}
	if r.Reply == "" {
		return s, nil
	}
	s.Finished, s.Reply = &r.Finished, new(interapp.Reply)
	if err := json.Unmarshal([]byte(r.Reply), s.Reply); err != nil {
		return s, fmt.Errorf("reply to request %s in the ledger: %w", r.ID, err)
	}
	s.Posting = replyPosting(r)
	return s, nil
}

// replyPosting is how the posting of a reply goes; nil where it is posted nowhere.
func replyPosting(r ledger.Request) *interapp.Posting {
	if r.ReplyTo == "" {
		return nil
	}
	return postingOf(r.Posting, r.Posted)
}

func postingOf(p ledger.Posting, done bool) *interapp.Posting {
	out := &interapp.Posting{Done: done, Tries: p.Tries, Error: p.Error}
	if !p.Next.IsZero() {
		out.NextTry = &p.Next
	}
	return out
}
