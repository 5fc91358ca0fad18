//go:build linux

package world

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sftpconnector/faults/model"
)

// receiver is a program that replies and deliveries are posted to.
type receiver struct {
	listener net.Listener
	server   *http.Server
	failing  atomic.Bool

	mu         sync.Mutex
	replies    map[string][]model.Reply    // by the id of the request
	deliveries map[string][]model.Delivery // by connector or Space
	refused    int
}

func startReceiver() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{listener: l, replies: map[string][]model.Reply{}, deliveries: map[string][]model.Delivery{}}
	r.server = &http.Server{Handler: r, ReadTimeout: 30 * time.Second}
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

func (r *receiver) url(path string) string { return "http://" + r.listener.Addr().String() + path }

func (r *receiver) close() error { return r.server.Close() }

// ServeHTTP takes a posting, or refuses it while the receiver fails.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if r.failing.Load() {
		r.mu.Lock()
		r.refused++
		r.mu.Unlock()
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(io.LimitReader(q.Body, 64<<20))
	if err == nil {
		err = r.take(q.URL.Path, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (r *receiver) take(path string, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch path {
	case "/reply":
		var reply model.Reply
		if err := json.Unmarshal(body, &reply); err != nil {
			return err
		}
		r.replies[reply.ID] = append(r.replies[reply.ID], reply)
	case "/files":
		var d struct {
			Connector string           `json:"connector"`
			Files     []model.Delivery `json:"files"`
		}
		if err := json.Unmarshal(body, &d); err != nil {
			return err
		}
		r.deliveries[d.Connector] = append(r.deliveries[d.Connector], d.Files...)
	default:
		return errors.New("no such address")
	}
	return nil
}

func (r *receiver) repliesTo(id string) []model.Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replies[id]
}

func (r *receiver) deliveriesOf(connector string) []model.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deliveries[connector]
}
