package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// recorder sees what becomes of an answer. What is noted in it the access log and the
// audit tell.
type recorder struct {
	http.ResponseWriter
	status    int
	bytes     int64
	caller    string
	connector string // that a call is about, where its path does not say so
	detail    string // what exactly was done
	nothing   bool   // the call was not to do anything
	undone    bool   // it did nothing, though the answer is no error
}

func (w *recorder) WriteHeader(code int) {
	if w.status == 0 && code >= 200 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// note tells the access log and the audit who the caller is.
func note(w http.ResponseWriter, caller string) {
	if rec, ok := w.(*recorder); ok {
		rec.caller = caller
	}
}

// noteCaller is note for who became known while the call was answered.
func noteCaller(ctx context.Context, caller string) { recorderOf(ctx).caller = caller }

// recorderKey is the context's key of the recorder.
type recorderKey struct{}

// recorderOf gives the recorder of a request by its context, or one that nobody reads.
func recorderOf(ctx context.Context) *recorder {
	if rec, ok := ctx.Value(recorderKey{}).(*recorder); ok {
		return rec
	}
	return &recorder{}
}

// noteDetail tells the audit what exactly a call does, where its path does not say so.
// It is never a secret, nor a body as it came.
func noteDetail(ctx context.Context, format string, args ...any) {
	recorderOf(ctx).detail = fmt.Sprintf(format, args...)
}

// noteNothing tells the audit that a call is not to do anything, so that there is
// nothing to record.
func noteNothing(ctx context.Context) { recorderOf(ctx).nothing = true }

// noteUndone tells the audit that a call did not do what it was to do, and why, where
// its status does not say so.
func noteUndone(ctx context.Context, why string) {
	rec := recorderOf(ctx)
	rec.undone, rec.detail = true, why
}

// noteConnector tells the audit which connector a call is about, where its path does
// not say so.
func noteConnector(ctx context.Context, name string) { recorderOf(ctx).connector = name }

// observe bounds the body, logs each request at debug level, and turns a panic
// into a problem.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		defer func() {
			v := recover()
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // net/http's own way to cut a connection
			}
			if v != nil {
				s.log.Error("panic while a request was served", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				if rec.status == 0 {
					writeProblem(rec, http.StatusInternalServerError, "The program made a mistake; please report it with the daemon's log.")
				}
			}
			s.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
				slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rec.status),
				slog.Int64("bytes", rec.bytes), slog.Duration("took", time.Since(start)),
				slog.String("remote", r.RemoteAddr), slog.String("token", rec.caller))
		}()
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), recorderKey{}, rec)))
	})
}
