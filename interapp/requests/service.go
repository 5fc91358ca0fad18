package requests

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/notify"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// How many requests may have no answer yet: of all, and of one token, so that
// nobody keeps the others out.
const (
	maxOpen      = 10_000
	maxOpenToken = 2000
)

// Errors of a Service, besides those of the connectors.
var (
	// ErrTaken: the id belongs to another request.
	ErrTaken = errors.New("the id belongs to another request: choose one of its own, or send the same request")
	// ErrUnknown: there is no such request or subscription.
	ErrUnknown = errors.New("not known, or older than the connector's retention")
	// ErrForeign: only who asked for it may end it.
	ErrForeign = errors.New("asked for with another token: use that one, or one with the scope configure")
	// ErrNothingToSend: there is no reply or delivery to post.
	ErrNothingToSend = errors.New("there is nothing to send")
	// ErrFull: too many requests have no answer yet.
	ErrFull = errors.New("wait for their answers, and no more may: try again later")
)

// Invalid says what is wrong with a request or subscription.
type Invalid struct {
	Field  string // as in its JSON
	Reason string
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Reason }

// Caller is who calls.
type Caller struct {
	Token string // its name; "" for none
	All   bool   // what others asked for is open to it too
}

// owns reports whether what was asked for with the token is the caller's to see
// in full, and to end.
func (c Caller) owns(token string) bool { return c.All || c.Token == token && token != "" }

// withoutQuery blanks the part of a URL in which its owner may have secrets.
func withoutQuery(url string) string {
	if before, _, ok := strings.Cut(url, "?"); ok {
		return before + "?…"
	}
	return url
}

// Options are what a Service is made of. OnChange and Log may be nil.
type Options struct {
	Set    *connector.Set
	Ledger *ledger.Ledger
	Server config.Server // its tokens and reply_to_allow; see SetServer
	Log    *slog.Logger
	// OnChange is told of every change of a request's state, without the reply,
	// which may have 200,000 names, and the query of reply_to. It must not block.
	OnChange func(interapp.RequestState)
	// OnPosting is told of each try to post something: its event, and why it failed. It
	// must not block, and may be nil.
	OnPosting func(event string, err error)
}

// Service is the requests and subscriptions of all connectors. Its methods may
// be called concurrently. Those of subscriptions are in subscribe.go.
type Service struct {
	subscriptions

	set      *connector.Set
	ledger   *ledger.Ledger
	log      *slog.Logger
	onChange func(interapp.RequestState)
	poster   *notify.Poster
	sender   *notify.Sender

	mu      sync.Mutex
	jobs    map[string]*job // without an answer, by id
	running context.Context // nil before Run
	ended   bool            // no more are started
	group   sync.WaitGroup
}

// job is a request that is being worked on.
type job struct {
	token    string // its name
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed when it is answered, or the program ends
	progress atomic.Pointer[func() filesync.Progress]
}

// New makes a Service. It does nothing of its own accord until Run.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnChange == nil {
		o.OnChange = func(interapp.RequestState) {}
	}
	s := &Service{set: o.Set, ledger: o.Ledger, log: o.Log, onChange: o.OnChange, jobs: map[string]*job{}}
	settings, err := settingsOf(o.Server)
	if err != nil {
		return nil, err
	}
	s.poster = notify.NewPoster(settings)
	s.sender = notify.NewSender(outbox{o.Ledger.Outbox(), s}, told(s.poster.Post, o.OnPosting), s.log)
	s.subscriptions = subscriptions{o.Set, o.Ledger, s.poster, s.sender}
	return s, nil
}

// told is post, and tells of each try that was not cut short by the end of the program.
func told(post func(context.Context, notify.Message) error, onPosting func(string, error)) func(context.Context, notify.Message) error {
	if onPosting == nil {
		return post
	}
	return func(ctx context.Context, m notify.Message) error {
		err := post(ctx, m)
		if err == nil || ctx.Err() == nil {
			onPosting(m.Event, err)
		}
		return err
	}
}

// SetServer goes over to the tokens and the reply_to_allow of another configuration.
func (s *Service) SetServer(c config.Server) error {
	settings, err := settingsOf(c)
	if err == nil {
		s.poster.Configure(settings)
	}
	return err
}

func settingsOf(c config.Server) (notify.Settings, error) {
	allow, err := notify.NewAllow(c.ReplyToAllow)
	secrets := map[string]string{}
	for _, t := range c.Tokens {
		secrets[t.Name] = t.Token.Reveal()
	}
	return notify.Settings{Allow: allow, Secret: func(name string) (string, bool) {
		secret, ok := secrets[name]
		return secret, ok
	}}, err
}

// Run works on requests, those that an earlier run of the program left first,
// and posts what is to be posted, until ctx ends. What has no answer by then
// stays accepted.
func (s *Service) Run(ctx context.Context) error {
	defer s.finish()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// From here on what is accepted is started at once; what was accepted before
	// is in the ledger by now. Some may be both, and are done once all the same.
	s.mu.Lock()
	s.running = ctx
	s.mu.Unlock()
	left, err := s.ledger.OpenRequests(ctx)
	if err != nil {
		return err
	}
	for _, r := range left {
		s.start(r)
	}
	s.sender.Run(ctx)
	return nil
}

// finish waits for the work on requests, of which no more is begun.
func (s *Service) finish() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.group.Wait()
	s.poster.Close()
}

// Begin has requests worked on that are accepted from now on, for a program that
// does not Run. Those that are in the ledger already, and what is to be posted, are
// left to one that does. End ends it.
func (s *Service) Begin(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = ctx
}

// End waits for the work on requests, after the context of Begin has ended.
func (s *Service) End() { s.finish() }

// start works on a request in the background, once.
func (s *Service) start(r ledger.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil || s.ended || s.jobs[r.ID] != nil {
		return // Run finds it in the ledger
	}
	ctx, cancel := context.WithCancelCause(s.running)
	j := &job{token: r.Token, cancel: cancel, done: make(chan struct{})}
	s.jobs[r.ID] = j
	s.group.Go(func() {
		defer cancel(nil)
		s.work(ctx, r, func(progress func() filesync.Progress) { j.progress.Store(&progress) })
		s.mu.Lock()
		delete(s.jobs, r.ID)
		s.mu.Unlock()
		close(j.done)
	})
}

// changed tells the listener of a request's new state.
func (s *Service) changed(state interapp.RequestState) {
	state.Request.ReplyTo = withoutQuery(state.Request.ReplyTo)
	s.onChange(state)
}

func (s *Service) job(id string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id]
}

// over is closed when the program ends; nil before it runs.
func (s *Service) over() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil
	}
	return s.running.Done()
}

// full gives ErrFull if no more requests of the token are taken now.
func (s *Service) full(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) >= maxOpen {
		return fmt.Errorf("%d requests %w", maxOpen, ErrFull)
	}
	if token == "" || len(s.jobs) < maxOpenToken {
		return nil
	}
	of := 0
	for _, j := range s.jobs {
		if j.token == token {
			of++
		}
	}
	if of >= maxOpenToken {
		return fmt.Errorf("%d requests of the token %s %w", maxOpenToken, token, ErrFull)
	}
	return nil
}

// Delivered is told that a connector delivered a file: subscribers may be waiting.
func (s *Service) Delivered() { s.sender.Wake() }
