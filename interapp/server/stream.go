package server

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const eventStream = "text/event-stream"

// wantsStream reports whether the caller asks for an answer that comes as it goes.
func wantsStream(r *http.Request) bool {
	for kind := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if kind, _, err := mime.ParseMediaType(kind); err == nil && kind == eventStream {
			return true
		}
	}
	return false
}

// streamable describes a 200 that is a T, or a stream of these events.
func streamable[T any](api huma.API, events ...*huma.Schema) map[string]*huma.Response {
	content := jsonBody[T](api)
	content[eventStream] = &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeArray, Description: "The events", Items: &huma.Schema{OneOf: events},
	}}
	return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// eventHeaders begins an answer that is a stream of events.
func eventHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy holds nothing back
}

// stream answers with the events that run tells of, until it returns. Its context ends
// when the client has gone, does not take them, or the server ends. tell may be called
// concurrently; it waits for a client that is slow.
func (s *Server) stream(r *http.Request, w http.ResponseWriter, run func(ctx context.Context, tell func(event string, data any))) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.serving, cancel)()
	eventHeaders(w)
	w.WriteHeader(http.StatusOK)
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	texts, sent := make(chan []byte, maxQueued), make(chan struct{})
	go func() {
		defer close(sent)
		if !send(w, texts) {
			cancel()
			for range texts { // until run has returned
			}
		}
	}()
	defer func() { // also when run panics
		close(texts)
		<-sent
	}()
	run(ctx, func(event string, data any) {
		select {
		case texts <- format(event, data):
		case <-ctx.Done():
		}
	})
}

// send writes what comes, and a comment where nothing does, until texts is closed. It is
// false once the client does not take it.
func send(w http.ResponseWriter, texts <-chan []byte) bool {
	conn := http.NewResponseController(w)
	comment := time.NewTicker(commentEvery)
	defer comment.Stop()
	for {
		text, more := []byte(": nothing else\n\n"), true
		select {
		case text, more = <-texts:
		case <-comment.C:
		}
		// The server's own deadline is for whole answers.
		_ = conn.SetWriteDeadline(time.Now().Add(eventTimeout))
		if _, err := w.Write(text); err != nil {
			return false
		}
		if len(texts) == 0 && conn.Flush() != nil {
			return false
		}
		if !more {
			return true
		}
	}
}
