//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"sftpconnector/faults/model"
	"sftpconnector/faults/schedule"
)

// request is one that was sent to the API.
type request struct {
	id, filter string
	sent       time.Time
	mu         sync.Mutex
	accepted   bool
}

// requestBody is what is sent.
type requestBody struct {
	ID      string `json:"id"`
	Filter  string `json:"file_name_filter"`
	ReplyTo string `json:"reply_to"`
	Timeout string `json:"timeout"`
}

// request sends a request until the daemon has accepted it. The same id twice is
// one request, so that what was lost on the way may be sent again.
func (w *world) request(ctx context.Context, s *site, step schedule.Step) error {
	r := &request{id: fmt.Sprintf("%s-%d-%d", s.Name, step.At.Milliseconds(), step.Size), filter: step.Path, sent: time.Now()}
	s.mu.Lock()
	r.id += fmt.Sprintf("-%d", len(s.requests))
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	body := requestBody{r.id, r.filter, w.receiver.url("/reply"), "90s"}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := w.api.call(try, http.MethodPost, "/api/v1/connectors/"+s.Name+"/requests", body, nil)
		cancel()
		var no *refused
		if err == nil {
			r.mu.Lock()
			r.accepted = true
			r.mu.Unlock()
			return nil
		}
		if errors.As(err, &no) && no.code/100 == 4 {
			return err
		}
		wait(ctx, 200*time.Millisecond)
	}
	return nil
}

// subscribe has all deliveries posted to the receiver.
func (w *world) subscribe(ctx context.Context) error {
	for name := range w.sites {
		if err := w.subscribeTo(ctx, "/api/v1/connectors/"+name); err != nil {
			return err
		}
	}
	for id := range w.spaces {
		if err := w.subscribeTo(ctx, "/api/v1/spaces/"+id); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) subscribeTo(ctx context.Context, what string) error {
	err := w.api.call(ctx, http.MethodPost, what+"/subscriptions", map[string]string{"reply_to": w.receiver.url("/files")}, nil)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", what, err)
	}
	return nil
}

// outcomes are the requests of a connector as the API tells them at the end.
func (w *world) outcomes(ctx context.Context, s *site) ([]model.Request, error) {
	var all []model.Request
	for _, r := range s.requests {
		r.mu.Lock()
		m := model.Request{ID: r.id, Filter: r.filter, Sent: r.sent, Accepted: r.accepted, ReplyTo: true, Posted: w.receiver.repliesTo(r.id)}
		r.mu.Unlock()
		var state struct {
			State    string       `json:"state"`
			Finished *time.Time   `json:"finished"`
			Reply    *model.Reply `json:"reply"`
		}
		if m.Accepted {
			if err := w.api.call(ctx, http.MethodGet, "/api/v1/requests/"+r.id, nil, &state); err != nil {
				return nil, fmt.Errorf("accepted request %s: %w", r.id, err)
			}
			m.State, m.Reply = state.State, state.Reply
			if state.Finished != nil {
				m.Finished = *state.Finished
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// askedAll reports whether every accepted request has its answer, and every
// posting has arrived.
func (w *world) askedAll(ctx context.Context) error {
	for _, s := range w.sites {
		for _, r := range s.requests {
			var state struct {
				State   string `json:"state"`
				Posting *struct {
					Done bool `json:"done"`
				} `json:"posting"`
			}
			r.mu.Lock()
			accepted := r.accepted
			r.mu.Unlock()
			if !accepted {
				continue
			}
			if err := w.api.call(ctx, http.MethodGet, "/api/v1/requests/"+r.id, nil, &state); err != nil {
				return err
			}
			if state.Posting == nil || !state.Posting.Done {
				return fmt.Errorf("request %s is %s, and its reply was not taken", r.id, state.State)
			}
		}
	}
	return nil
}

// toldAll reports whether every delivery was posted.
func (w *world) toldAll(ctx context.Context) error {
	var of []string
	for name := range w.sites {
		of = append(of, "/api/v1/connectors/"+name)
	}
	for id := range w.spaces {
		of = append(of, "/api/v1/spaces/"+id)
	}
	for _, what := range of {
		var list struct {
			Subscriptions []struct {
				Pending int64 `json:"pending"`
			} `json:"subscriptions"`
		}
		if err := w.api.call(ctx, http.MethodGet, what+"/subscriptions", nil, &list); err != nil {
			return err
		}
		if len(list.Subscriptions) != 1 {
			return fmt.Errorf("%s has %d subscriptions", what, len(list.Subscriptions))
		}
		if n := list.Subscriptions[0].Pending; n > 0 {
			return fmt.Errorf("%s: %d deliveries are pending", what, n)
		}
	}
	return nil
}
