//go:build linux

package world

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"sftpconnector/faults/model"
)

// api calls the product's HTTP API.
type api struct {
	base  string
	token string
	http  *http.Client
}

func newAPI(addr, token string) *api {
	return &api{base: "http://" + addr, token: token, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: 5 * time.Second}}}
}

func (a *api) close() { a.http.CloseIdleConnections() }

// refused is an answer that says no.
type refused struct {
	code   int
	detail string
}

func (r *refused) Error() string { return fmt.Sprintf("HTTP %d: %s", r.code, r.detail) }

// call sends in as JSON, if it is not nil, and reads the answer into out, if
// that is not nil: as JSON, or as it is into a string. Any answer but 2xx is a *refused.
func (a *api) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := a.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return &refused{answer.StatusCode, string(data[:min(len(data), 500)])}
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *string:
		*out = string(data)
		return nil
	}
	return json.Unmarshal(data, out)
}

// text is an answer that is not JSON.
func (a *api) text(ctx context.Context, path string) (string, error) {
	var text string
	err := a.call(ctx, http.MethodGet, path, nil, &text)
	return text, err
}

// connectorState is what the suite asks of GET /api/v1/connectors/{name}.
type connectorState struct {
	ConnectionStatus string     `json:"connection_status"`
	Error            string     `json:"error"`
	Hint             string     `json:"hint"`
	HeldUntil        *time.Time `json:"held_until"`
}

func (a *api) connector(ctx context.Context, name string) (connectorState, error) {
	var s connectorState
	err := a.call(ctx, http.MethodGet, "/api/v1/connectors/"+name, nil, &s)
	return s, err
}

// files is every row that the ledger has of a connector or a Space.
func (a *api) files(ctx context.Context, of string) ([]model.File, error) {
	var all []model.File
	cursor := ""
	for {
		var page struct {
			Files  []model.File `json:"files"`
			Cursor string       `json:"cursor"`
		}
		if err := a.call(ctx, http.MethodGet, of+"/files?cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Files...)
		if cursor = page.Cursor; cursor == "" {
			return all, nil
		}
	}
}

func (a *api) passes(ctx context.Context, name string) ([]model.Pass, error) {
	var list struct {
		Passes []model.Pass `json:"passes"`
	}
	err := a.call(ctx, http.MethodGet, "/api/v1/connectors/"+name+"/passes?limit=1000", nil, &list)
	return list.Passes, err
}

// apply starts an Apply and waits for its end.
func (a *api) apply(ctx context.Context, name string) (model.Pass, error) {
	var p model.Pass
	err := a.call(ctx, http.MethodPost, "/api/v1/connectors/"+name+"/apply?wait=60s", nil, &p)
	return p, err
}
