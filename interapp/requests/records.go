package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/sync/ledger"
)

// Query selects requests. The zero Query selects all.
type Query = ledger.RequestQuery

// Page gives a page of requests, newest first, and the cursor of the next page, or "".
// Their replies have no files. For a caller whose one is not, the query of its reply_to
// is blank.
func (s *Service) Page(ctx context.Context, by Caller, q Query) (page []interapp.RequestState, next string, err error) {
	kept, next, err := s.ledger.RequestPage(ctx, q)
	if err != nil {
		return nil, "", err
	}
	page = make([]interapp.RequestState, 0, len(kept))
	for _, r := range kept {
		state, err := s.listed(by, r)
		if err != nil {
			return nil, "", err
		}
		page = append(page, state)
	}
	return page, next, nil
}

// listed is a request, of whose reply the beginning is known, as the caller may see it
// in a page.
func (s *Service) listed(by Caller, r ledger.Request) (interapp.RequestState, error) {
	head := r.Reply
	r.Reply = ""
	state, err := s.seenBy(by, r)
	if head != "" {
		reply := replyHead(head)
		state.Finished, state.Reply = &r.Finished, &reply
		state.Posting = replyPosting(r)
	}
	return state, err
}

// replyHead reads the beginning of a reply, up to the first list.
func replyHead(text string) interapp.Reply {
	reply := emptyReply(interapp.RequestState{}, "")
	fields := map[string]any{
		"id": &reply.ID, "connector": &reply.Connector, "source": &reply.Source, "success": &reply.Success,
		"description": &reply.Description, "destination_directory_path": &reply.Destination,
	}
	in := json.NewDecoder(strings.NewReader(text))
	_, err := in.Token() // the brace
	for err == nil && in.More() {
		var key json.Token
		if key, err = in.Token(); err != nil {
			break
		}
		name, _ := key.(string)
		field, known := fields[name]
		if !known {
			break // the lists come behind what is known here
		}
		err = in.Decode(field)
	}
	return reply
}

// SendReply posts the reply of a request once more, now: also when the receiver has it,
// or was never to be asked again. Errors: ErrUnknown, ErrForeign, ErrNothingToSend.
func (s *Service) SendReply(ctx context.Context, by Caller, id string) (interapp.RequestState, error) {
	r, err := s.kept(ctx, id)
	switch {
	case err != nil:
		return interapp.RequestState{}, err
	case !by.owns(r.Token):
		return interapp.RequestState{}, ErrForeign
	}
	switch err := s.ledger.SendReply(ctx, id, time.Now()); {
	case errors.Is(err, ledger.ErrNoRequest): // it went a moment ago
		return interapp.RequestState{}, ErrUnknown
	case errors.Is(err, ledger.ErrNoReceiver):
		return interapp.RequestState{}, fmt.Errorf("%w: the request has no reply_to; GET shows its reply", ErrNothingToSend)
	case errors.Is(err, ledger.ErrNoReply):
		return interapp.RequestState{}, fmt.Errorf("%w: the request has no reply yet, which is posted when it comes", ErrNothingToSend)
	case err != nil:
		return interapp.RequestState{}, err
	}
	s.sender.Wake()
	state, err := s.requestState(ctx, by, id)
	if err == nil {
		told := state
		told.Reply = nil
		s.changed(told)
	}
	return state, err
}
