package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// Why a request ends before it is done.
var (
	errCancelled = errors.New("it was cancelled")
	errExpired   = errors.New("its time was over")
)

// work sees a request through to its answer, unless the program ends before.
func (s *Service) work(ctx context.Context, r ledger.Request, started func(progress func() filesync.Progress)) {
	state, err := stateOf(r)
	if err != nil {
		s.log.Error("request not answered", "connector", r.Connector, "request", r.ID, "error", err)
		return
	}
	for {
		err := s.see(ctx, state, started)
		if err == nil || s.running.Err() != nil {
			return
		}
		// The ledger does not take it, as the disk is full, say. The answer is owed.
		s.log.Error("request not answered yet", "connector", r.Connector, "request", r.ID, "error", err)
		select {
		case <-time.After(backoff.Ledger.Wait(1)):
		case <-s.running.Done():
			return
		}
	}
}

func (s *Service) see(ctx context.Context, state interapp.RequestState, started func(progress func() filesync.Progress)) error {
	ctx, cancel := context.WithDeadlineCause(ctx, state.Deadline, errExpired)
	defer cancel()
	if open, err := s.ledger.RunRequest(context.WithoutCancel(ctx), state.ID); err != nil || !open {
		return err
	}
	state.State = interapp.RequestRunning
	s.changed(state)
	reply, err := s.serve(ctx, state, started)
	switch {
	case s.running.Err() != nil:
		return nil // it is answered after the next start
	case err == nil:
		return s.answer(ctx, state, interapp.RequestReplied, reply)
	case errors.Is(context.Cause(ctx), errExpired):
		reply.Description = fmt.Sprintf("not done within %s: %s", state.Deadline.Sub(state.Accepted), reply.Description)
		return s.answer(ctx, state, interapp.RequestExpired, reply)
	case errors.Is(context.Cause(ctx), errCancelled):
		reply.Description = "cancelled: " + reply.Description
		return s.answer(ctx, state, interapp.RequestCancelled, reply)
	}
	reply.Description = explain(err)
	return s.answer(ctx, state, interapp.RequestFailed, reply)
}

// serve has the connector do what is asked for. With an error the reply says
// how far it came.
func (s *Service) serve(ctx context.Context, state interapp.RequestState, started func(progress func() filesync.Progress)) (interapp.Reply, error) {
	for {
		c, err := s.set.Get(state.Connector)
		if err != nil {
			return emptyReply(state, ""), err
		}
		sel, err := selection(state.Request, c.Config().TimeZone.Location, state.Accepted)
		if err != nil {
			return emptyReply(state, ""), err
		}
		report, err := c.Request(ctx, sel, started)
		reply := replyOf(state, c.Config().Files.DestinationDirectoryPath, report, err == nil)
		paused, isPaused := errors.AsType[*connector.PausedError](err) // since it was accepted
		if isPaused {
			reply.Description = paused.Error()
		}
		if !errors.Is(err, connector.ErrStopped) && !errors.Is(err, connector.ErrBusy) && !isPaused || ctx.Err() != nil {
			return reply, err
		}
		select {
		case <-time.After(backoff.Connector.Wait(1)):
		case <-ctx.Done():
			return reply, context.Cause(ctx)
		}
	}
}

// explain is the sentence for a request that failed.
func explain(err error) string {
	if e, ok := errors.AsType[*status.Error](err); ok && e.Advice() != "" {
		return fmt.Sprintf("%s: %v. %s", e.Word, err, e.Advice())
	}
	return err.Error()
}

// answer gives a request its one answer, and has it posted.
func (s *Service) answer(ctx context.Context, state interapp.RequestState, outcome string, reply interapp.Reply) error {
	text, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	now := time.Now().UTC().Truncate(time.Millisecond)
	won, err := s.ledger.FinishRequest(ctx, state.ID, outcome, string(text), now)
	if err != nil || !won {
		return err
	}
	s.log.Info("request answered", "connector", state.Connector, "request", state.ID, "state", outcome, "success", reply.Success, "description", reply.Description)
	s.sender.Wake()
	state.State, state.Finished = outcome, &now
	if state.Request.ReplyTo != "" {
		state.Posting = &interapp.Posting{NextTry: &now}
	}
	s.changed(state)
	return nil
}

// emptyReply is an answer without files.
func emptyReply(state interapp.RequestState, description string) interapp.Reply {
	return interapp.Reply{
		ID: state.ID, Connector: state.Connector, Source: state.Request.Source, Description: description,
		FileNames: []string{}, Files: []interapp.ReplyFile{}, Waiting: []interapp.ReplyProblem{}, Failed: []interapp.ReplyProblem{},
	}
}

// replyOf is the answer about what became of the files. complete says that
// there are no others.
func replyOf(state interapp.RequestState, destination string, r connector.RequestReport, complete bool) interapp.Reply {
	out := emptyReply(state, "")
	out.Destination = destination
	out.Success = complete && len(r.Waiting) == 0 && len(r.Failed) == 0
	copied := 0
	for _, f := range r.There {
		file := interapp.ReplyFile{Name: f.Target, SourceName: f.Source.Name, Size: f.Source.Size, Status: "present", Unverified: f.Unverified}
		if f.Copied {
			file.Status = "copied"
			copied++
		}
		if !f.Source.ModTime.IsZero() {
			at := f.Source.ModTime.UTC()
			file.ModTime = &at
		}
		out.Files = append(out.Files, file)
		out.FileNames = append(out.FileNames, file.Name)
	}
	for _, f := range r.Waiting {
		out.Waiting = append(out.Waiting, interapp.ReplyProblem{Name: f.Source.Name, Reason: f.Reason})
	}
	for _, f := range r.Failed {
		out.Failed = append(out.Failed, interapp.ReplyProblem{Name: f.Source.Name, Reason: f.Reason})
	}
	out.Description = describe(copied, len(r.There)-copied, len(r.Waiting), len(r.Failed), complete)
	return out
}

// describe counts files in a sentence. Of a request that ended early nobody
// knows whether there are more.
func describe(copied, present, waiting, failed int, complete bool) string {
	var parts []string
	add := func(n int, what string) {
		if n == 0 {
			return
		}
		noun := ""
		if len(parts) == 0 {
			noun = " files"
			if n == 1 {
				noun = " file"
			}
		}
		parts = append(parts, fmt.Sprintf("%d%s %s", n, noun, what))
	}
	add(copied, "copied")
	add(present, "already present")
	add(waiting, "not ready")
	if complete {
		add(failed, "failed")
	} else {
		add(failed, "not copied")
	}
	switch {
	case len(parts) == 0 && complete:
		return "no file matches"
	case len(parts) == 0:
		return "no file was found by then"
	}
	return strings.Join(parts, ", ")
}
