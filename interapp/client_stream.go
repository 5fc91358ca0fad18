package interapp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxEvent bounds one event of a stream, in bytes.
const maxEvent = 4 << 20

// CheckStages is Check, and tells of the stages as it goes: of each that begins, with a nil
// ended, and of each that ended.
func (c *Client) CheckStages(ctx context.Context, name string, told func(stage string, ended *Stage)) (Check, error) {
	var out Check
	err := c.stream(ctx, checkTimeout, http.MethodPost, nil, "check", &out, func(event string, data []byte) error {
		switch event {
		case "begin":
			var begun StageBegun
			if err := json.Unmarshal(data, &begun); err != nil {
				return err
			}
			told(begun.Stage, nil)
		case "stage":
			var ended Stage
			if err := json.Unmarshal(data, &ended); err != nil {
				return err
			}
			told(ended.Stage, &ended)
		}
		return nil
	}, "connectors", name, "check")
	return out, wrap(err, "check "+name)
}

// ListingOf is Listing for all files, of which each is told as it is found. The Listing
// itself has none then.
func (c *Client) ListingOf(ctx context.Context, name string, each func(File)) (Listing, error) {
	var out Listing
	err := c.stream(ctx, MaxListing+callTimeout, http.MethodGet, nil, "listing", &out, func(event string, data []byte) error {
		if event != "file" {
			return nil
		}
		var f File
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		each(f)
		return nil
	}, "connectors", name, "listing")
	return out, wrap(err, "listing of "+name)
}

// stream makes a call whose answer comes as it goes, and tells of its events. The one
// that is called last is the answer, and read into out.
func (c *Client) stream(ctx context.Context, timeout time.Duration, method string, query url.Values, last string, out any,
	told func(event string, data []byte) error, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := c.request(ctx, method, query, nil, path)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	answer, err := c.do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refusal(answer, io.LimitReader(answer.Body, maxAnswer))
	}
	foreign := func(err error) error {
		return fmt.Errorf("%s %s: the answer is not one of sftp-connector: %w", method, r.URL.Redacted(), err)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxEvent)
	var event string
	for lines.Scan() {
		key, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(key) {
		case "event":
			event = string(value)
		case "data":
			if event == "problem" {
				p := &Problem{}
				if err := json.Unmarshal(value, p); err != nil {
					return foreign(err)
				}
				return p
			}
			if event == last {
				if err := json.Unmarshal(value, out); err != nil {
					return foreign(err)
				}
				return nil
			}
			if err := told(event, value); err != nil {
				return foreign(err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return foreign(io.ErrUnexpectedEOF)
}
