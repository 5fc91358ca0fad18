package web

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"sftpconnector/interapp"
)

// newClient makes a client of the API for one request of a page.
func newClient(api http.Handler, page *http.Request) *interapp.Client {
	c := interapp.NewClient("http://"+inside, "")
	c.HTTP = &http.Client{Transport: inMemory{api, page}}
	return c
}

// inside stands for the host of the API, which is in this process.
const inside = "sftp-connector"

// passedOn are the headers by which the API knows who sent the page's request, from where,
// and that no page of another origin did.
var passedOn = []string{"Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Origin", "Sec-Fetch-Site"}

// inMemory is an http.RoundTripper that calls the API's handler, as the sender of the page's
// request.
type inMemory struct {
	api  http.Handler
	page *http.Request
}

// RoundTrip implements http.RoundTripper.
func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Host, in.RemoteAddr, in.TLS = m.page.Host, m.page.RemoteAddr, m.page.TLS
	in.URL.Scheme, in.URL.Host = "", ""
	in.RequestURI = in.URL.RequestURI()
	for _, name := range passedOn {
		in.Header.Del(name)
		for _, value := range m.page.Header.Values(name) {
			in.Header.Add(name, value)
		}
	}
	answer := &recorder{header: http.Header{}}
	m.api.ServeHTTP(answer, in)
	_ = in.Body.Close()
	answer.WriteHeader(http.StatusOK)
	return &http.Response{
		StatusCode: answer.code, Status: strconv.Itoa(answer.code) + " " + http.StatusText(answer.code),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.sent, Body: io.NopCloser(&answer.body), ContentLength: int64(answer.body.Len()), Request: r,
	}, nil
}

// recorder is an http.ResponseWriter that keeps the answer.
type recorder struct {
	header, sent http.Header
	code         int
	body         bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code, w.sent = code, w.header.Clone()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// get asks the API for something that is not JSON of a message.
func (a *ask) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+inside+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := a.api.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		p := &interapp.Problem{}
		if json.Unmarshal(text, p) != nil || p.Status == 0 {
			p = &interapp.Problem{Status: answer.StatusCode, Title: answer.Status, Detail: "The API gives no " + path + "."}
		}
		return nil, p
	}
	return text, err
}
