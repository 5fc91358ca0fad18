package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

const (
	maxListeners  = 100
	maxOfToken    = 10  // of them
	maxQueued     = 256 // events that wait for one listener
	progressEvery = time.Second
	commentEvery  = 15 * time.Second // so that nobody on the way takes the stream for dead
	eventTimeout  = 10 * time.Second // for a listener to take what is sent
)

// Events are told to listeners as they happen. Like Metrics they exist before
// the connectors do, which tell them. Methods never block, and may be called
// concurrently.
type Events struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
	looked    time.Time         // at the progress, last
	ended     map[string]string // the last pass of each connector that ended
}

// listener is one stream of events. The Events' mu guards it.
type listener struct {
	token     string // its name; "" for none
	connector string // the only one that it hears of; "" for all
	queue     [][]byte
	lost      int64 // events after those of the queue
	wake      chan struct{}
}

// NewEvents makes Events that nobody listens to.
func NewEvents() *Events {
	return &Events{listeners: map[*listener]struct{}{}, ended: map[string]string{}}
}

// Pass is told of each pass that ended, by connector.Parts.OnPass.
func (e *Events) Pass(name string, p connector.PassReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.Mode != filesync.Request {
		e.ended[name] = p.ID
	}
	e.tell(name, "pass", func() any { return passEvent(name, p) })
}

// Health is told of each change of a Connection Status, by connector.Parts.OnHealth.
func (e *Events) Health(name string, h connector.Health) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell(name, "status", func() any { return h.Event(name) })
}

// Delivered is told of each delivered file, by connector.Parts.OnDelivered.
func (e *Events) Delivered(name string, d filesync.Delivered) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell(name, "file", func() any { return d.Event(name) })
}

// Request is told of each change of a request's state, by requests.Options.OnChange.
func (e *Events) Request(r interapp.RequestState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell(r.Connector, "request", func() any { return r })
}

// sendProgress tells of the passes under way, once in progressEvery however many
// listeners call it.
func (e *Events) sendProgress(set *connector.Set) {
	e.mu.Lock()
	due := time.Since(e.looked) >= progressEvery*9/10 // their clocks tick apart
	if due {
		e.looked = time.Now()
	}
	e.mu.Unlock()
	if !due {
		return
	}
	for _, c := range set.All() {
		r := c.Report()
		if p := r.Running; p != nil && p.ID != "" {
			p.Status = r.Health.Status
			e.running(r.Name, *p)
		}
	}
}

// running tells of a pass, unless it has ended since it was looked at.
func (e *Events) running(name string, p connector.PassReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended[name] != p.ID {
		e.tell(name, "pass", func() any { return passEvent(name, p) })
	}
}

// passEvent is a pass with few of its failures.
func passEvent(name string, p connector.PassReport) interapp.PassEvent {
	out := p.Event(name)
	out.Failures = out.Failures[:min(listedFailures, len(out.Failures))]
	return out
}

// tell queues an event for all that listen to the connector. The caller holds e.mu.
func (e *Events) tell(name, event string, data func() any) {
	var text []byte
	for l := range e.listeners {
		if l.connector != "" && l.connector != name {
			continue
		}
		if len(l.queue) == maxQueued {
			l.lost++
			continue
		}
		if text == nil {
			text = format(event, data())
		}
		l.queue = append(l.queue, text)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// format writes an event as it is sent.
func format(event string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // it is one of our own types
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, text)
}

// add makes a listener; it is to be removed. Its error is a sentence for a
// caller who is one too many.
func (e *Events) add(token, name string) (*listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.listeners) == maxListeners {
		return nil, fmt.Errorf("%d programs listen to events already, and no more may: %s", maxListeners, listenLess)
	}
	of := 0
	for l := range e.listeners {
		if l.token == token {
			of++
		}
	}
	if token != "" && of >= maxOfToken {
		return nil, fmt.Errorf("%d programs listen to events with the token %s already, and no more may: %s", maxOfToken, token, listenLess)
	}
	l := &listener{token: token, connector: name, wake: make(chan struct{}, 1)}
	e.listeners[l] = struct{}{}
	return l, nil
}

const listenLess = "end one of them, or ask for the state now and then"

func (e *Events) remove(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.listeners, l)
}

// take gives what waits for a listener. What was lost comes last: there was
// room for everything before it.
func (e *Events) take(l *listener) [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	texts := l.queue
	if l.lost > 0 {
		texts = append(texts, format("lost", interapp.LostEvent{Lost: l.lost}))
	}
	l.queue, l.lost = nil, 0
	return texts
}

// eventRoutes are the stream of events.
type eventRoutes struct{ *Server }

// add registers the operations.
func (s eventRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: "/api/v1/events", Tags: []string{tagConnectors},
		Summary: "What happens, as it happens",
		Description: "Server-sent events, until the client goes away or its token does: status (a Connection Status changed), pass (a pass under way, once a second; and each that ended, those of requests too), " +
			"file (a file was delivered, or imported), request (the state of a request changed; without its reply and the query of reply_to), and lost (so many events are missing here, as the client did not keep up). " +
			"What happened before is not told: ask for the state once the stream stands. A comment comes every 15 seconds.",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
			Type: huma.TypeArray, Description: "The events",
			Items: &huma.Schema{OneOf: []*huma.Schema{
				eventSchema("status", reference[interapp.StatusEvent](api)),
				eventSchema("pass", reference[interapp.PassEvent](api)),
				eventSchema("file", reference[interapp.FileEvent](api)),
				eventSchema("request", reference[interapp.RequestState](api)),
				eventSchema("lost", reference[interapp.LostEvent](api)),
			}},
		}}}}},
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.listen)
}

func eventSchema(event string, data *huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Required: []string{"event", "data"}, Properties: map[string]*huma.Schema{
		"event": {Type: huma.TypeString, Enum: []any{event}}, "data": data,
	}}
}

type eventsInput struct {
	Connector string `query:"connector" maxLength:"200" doc:"Only the events of this connector; spaces/ID is that of a Space"`
	Space     string `query:"space" maxLength:"200" doc:"Only the events of this Space"`
}

// only gives the connector that is asked for; "" for all.
func (s eventRoutes) only(in *eventsInput) (string, error) {
	switch {
	case in.Space != "" && in.Connector != "":
		return "", huma.Error422UnprocessableEntity("connector, space: send one of the two")
	case in.Space != "":
		_, err := s.connector(in.Space)
		return interapp.SpaceConnector(in.Space), err
	case in.Connector != "":
		_, err := s.set.Get(in.Connector)
		return in.Connector, err
	}
	return "", nil
}

func (s eventRoutes) listen(_ context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	name, err := s.only(in)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		l, err := s.events.add(callerOf(r.Context()).listens(), name)
		if err != nil {
			writeProblem(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		defer s.events.remove(l)
		eventHeaders(w)
		s.follow(r, w, l)
	}}, nil
}

// follow sends a listener what it hears, until it goes away, may not read any
// more or the server ends.
func (s eventRoutes) follow(r *http.Request, w http.ResponseWriter, l *listener) {
	conn := http.NewResponseController(w)
	progress, comment := time.NewTicker(progressEvery), time.NewTicker(commentEvery)
	defer progress.Stop()
	defer comment.Stop()
	texts := [][]byte{[]byte(": connected\n\n")}
	for s.mayStill(r) {
		// The server's own deadline is for whole answers.
		_ = conn.SetWriteDeadline(time.Now().Add(eventTimeout))
		for _, text := range texts {
			if _, err := w.Write(text); err != nil {
				return
			}
		}
		if len(texts) > 0 && conn.Flush() != nil {
			return
		}
		texts = nil
		select {
		case <-l.wake:
			texts = s.events.take(l)
		case <-progress.C:
			s.events.sendProgress(s.set)
		case <-comment.C:
			texts = [][]byte{[]byte(": nothing else\n\n")}
		case <-r.Context().Done():
			return
		case <-s.serving.Done():
			return
		}
	}
}

// mayStill reports whether the caller of r, who was let in to read, would be
// again: the tokens may have been swapped. That there are none now opens nothing.
func (s eventRoutes) mayStill(r *http.Request) bool {
	now := s.caller(r)
	return now.open == callerOf(r.Context()).open && now.may(scopes{config.ScopeRead})
}
