package interapp

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// The headers of what is posted to a receiver, beside SignatureHeader.
const (
	// EventHeader says what the body is: EventReply or EventDeliveries.
	EventHeader = "X-SFTP-Connector-Event"
	// IdempotencyHeader is the same whenever the same is posted again.
	IdempotencyHeader = "Idempotency-Key"
)

// The values of EventHeader.
const (
	EventReply      = "reply"      // a Reply
	EventDeliveries = "deliveries" // a Deliveries
)

const (
	defaultMaxBody = 64 << 20        // about 300,000 files
	maxAge         = 5 * time.Minute // of a signature; clocks may differ by that
	remembered     = 1024            // postings
)

// Receiver is an http.Handler for what sftp-connector posts to a reply_to: the
// replies to requests, and the deliveries of subscriptions.
//
// What has a wrong signature, or one made over five minutes ago, is answered
// with 401 and goes no further. The functions are called for the rest, several
// at the same time for different postings. Nil says that the program has it;
// any other error that it is to be posted again later. What is posted again
// although the program has it (as the answer was lost) is not handed over a
// second time, as long as the Receiver lives and it is among the last 1,024.
//
// sftp-connector waits for an answer for 30 seconds, after which ctx is
// cancelled: what takes longer should be put somewhere safe, and done then.
//
// A Receiver may be used concurrently, and not be copied or changed after its
// first use.
type Receiver struct {
	// Secret is the token with which the program asks sftp-connector.
	Secret string
	// AllowUnsigned is for a server without tokens, which signs nothing: with an
	// empty Secret, everything is taken from everybody.
	AllowUnsigned bool
	// OnReply gets replies. Nil: they are refused.
	OnReply func(ctx context.Context, reply Reply) error
	// OnDeliveries gets deliveries. Nil: they are refused.
	OnDeliveries func(ctx context.Context, deliveries Deliveries) error
	// MaxBody bounds a posting, in bytes. 0: 64 MiB.
	MaxBody int64

	mu    sync.Mutex
	calls map[identity]*call   // under way, or remembered as taken
	last  [remembered]identity // a ring of those that were taken
	next  int                  // place in the ring
}

// identity tells postings apart: by key, event and body, as of these only the
// body is signed. By the key alone, who has overheard one posting could pass it
// off as another that is still to come.
type identity [sha256.Size]byte

// call is one call of a function.
type call struct {
	done chan struct{}
	err  error // once done is closed
}

// ServeHTTP answers 204 to what the program has, and 500 to what it could not take.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Replies and deliveries are posted.", http.StatusMethodNotAllowed)
		return
	}
	most := rc.MaxBody
	if most <= 0 {
		most = defaultMaxBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		http.Error(w, "The body is larger than this receiver takes.", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "The body did not arrive completely.", http.StatusBadRequest)
		return
	}
	if rc.Secret != "" || !rc.AllowUnsigned {
		if err := Verify(rc.Secret, r.Header.Get(SignatureHeader), body, time.Now(), maxAge); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
	}
	event := r.Header.Get(EventHeader)
	hand, code := rc.decode(event, body)
	if hand == nil {
		http.Error(w, EventHeader+" and body are nothing that this receiver takes.", code)
		return
	}
	if err := rc.once(r.Context(), identify(event, r.Header.Get(IdempotencyHeader), body), hand); err != nil {
		// What is wrong is for the function to log: the sender can't mend it.
		http.Error(w, "It could not be taken now; post it again.", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decode gives the function that hands the body to the program; nil and a
// status when there is none.
func (rc *Receiver) decode(event string, body []byte) (hand func(context.Context) error, code int) {
	switch {
	case event == EventReply && rc.OnReply != nil:
		var reply Reply
		if json.Unmarshal(body, &reply) != nil || reply.ID == "" {
			return nil, http.StatusBadRequest
		}
		return func(ctx context.Context) error { return rc.OnReply(ctx, reply) }, 0
	case event == EventDeliveries && rc.OnDeliveries != nil:
		var deliveries Deliveries
		if json.Unmarshal(body, &deliveries) != nil || deliveries.Subscription == "" {
			return nil, http.StatusBadRequest
		}
		return func(ctx context.Context) error { return rc.OnDeliveries(ctx, deliveries) }, 0
	}
	return nil, http.StatusNotImplemented
}

func identify(event, key string, body []byte) identity {
	h := sha256.New()
	_, _ = io.WriteString(h, event+"\n"+key+"\n") // headers have no newlines
	h.Write(body)
	return identity(h.Sum(nil))
}

// once hands a posting over, unless it was. When it is being handed over at
// this moment, the outcome of that is waited for and is this one's too.
func (rc *Receiver) once(ctx context.Context, id identity, hand func(context.Context) error) error {
	rc.mu.Lock()
	c, known := rc.calls[id]
	if !known {
		c = &call{done: make(chan struct{}), err: errors.New("the function panicked")}
		if rc.calls == nil {
			rc.calls = make(map[identity]*call)
		}
		rc.calls[id] = c
	}
	rc.mu.Unlock()
	if known {
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer rc.finish(id, c)
	c.err = hand(ctx)
	return c.err
}

// finish remembers a posting that was taken, and forgets the oldest for it.
func (rc *Receiver) finish(id identity, c *call) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if c.err != nil {
		delete(rc.calls, id)
	} else {
		delete(rc.calls, rc.last[rc.next])
		rc.last[rc.next] = id
		rc.next = (rc.next + 1) % remembered
	}
	close(c.done)
}
