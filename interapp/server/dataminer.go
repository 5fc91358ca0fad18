package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/dataminer"
)

// expiry is how long after its deadline the answer to a request is waited for.
const expiry = 5 * time.Second

// dataminerRoutes are requests in DataMiner's own JSON.
type dataminerRoutes struct{ requestRoutes }

// add registers the operations.
func (s dataminerRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRequest}, huma.Operation{
		OperationID: "interapp", Method: http.MethodPost, Path: pathConnector + "/interapp", Tags: []string{tagRequests},
		Summary: "A DataMiner InterApp call",
		Description: "Takes an InterApp call, or a message of one, as DataMiner serializes it, whatever the Content-Type. Each message is a request with its guid as the id; " +
			"they are done side by side. The answer comes when all have ended, in the same JSON: for one message its reply, for several a call with theirs. " +
			"A message that is not valid is answered with success false. A client that goes away ends no request.",
		RequestBody: &huma.RequestBody{Content: anyJSON()}, SkipValidateBody: true,
		Responses: map[string]*huma.Response{"200": {Description: "OK: the reply, or a call of replies", Content: anyJSON()}},
		Errors:    []int{http.StatusNotFound},
	}, s.interapp)
}

func anyJSON() map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}}
}

type interappInput struct {
	Named
	RawBody []byte
}

func (s dataminerRoutes) interapp(ctx context.Context, in *interappInput) (*huma.StreamResponse, error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	names := c.Config().InterApp
	call, err := dataminer.Parse(in.RawBody, dataminer.Names{
		RequestClass: names.RequestClass, ReplyClass: names.ReplyClass, Properties: dataminer.Properties(names.Properties),
	})
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	noteDetail(ctx, "%d messages of an InterApp call", len(call.Messages))
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		_, w := humago.Unwrap(ctx)
		// A request may take longer than other answers. Where there are no
		// deadlines, there is none to put off.
		conn := http.NewResponseController(w)
		_ = conn.SetWriteDeadline(time.Time{})
		replies := s.replies(ctx.Context(), in.Name, call.Messages)
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(call.Answer(replies)) // the client may be gone
	}}, nil
}

// replies does the requests of all messages, and gives the replies in their order.
func (s dataminerRoutes) replies(ctx context.Context, connector string, messages []dataminer.Message) []interapp.Reply {
	replies := make([]interapp.Reply, len(messages))
	var all sync.WaitGroup
	for i, m := range messages {
		if m.Err == nil { // else the call has the reply
			all.Go(func() { replies[i] = s.reply(ctx, connector, m.Request) })
		}
	}
	all.Wait()
	return replies
}

// reply does a request. What is wrong with it is told in the reply, as the
// sender of a message hears of nothing else.
func (s dataminerRoutes) reply(ctx context.Context, connector string, r interapp.Request) interapp.Reply {
	state, err := s.requests.Accept(ctx, connector, callerOf(ctx).name, r)
	if err == nil {
		state, err = s.await(ctx, state.ID, time.Until(state.Deadline)+expiry)
	}
	switch {
	case err != nil:
		return interapp.Reply{Description: s.problem(err).Error()}
	case !state.Ended():
		return interapp.Reply{Description: "it has no answer yet: send the same message again for it"}
	}
	reply := *state.Reply
	reply.Description += reasons(reply)
	return reply
}

// reasons names the first files that are not there, and why: the reply has no
// other place for that.
func reasons(r interapp.Reply) string {
	const most = 3
	var text strings.Builder
	for i, p := range append(slices.Clone(r.Failed), r.Waiting...) {
		if i == most {
			text.WriteString("; …")
			break
		}
		fmt.Fprintf(&text, "; %s: %s", p.Name, p.Reason)
	}
	return text.String()
}
