package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	"sftpconnector/status"
)

const listing = "/api/v1/connectors/results/listing"

func TestListing(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for i := range 5 {
		d.src.Put(fmt.Sprintf("%d.csv", i), "12", old)
	}
	d.src.Put("~$open.docx", "x", old)
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	d.src.Put("1.csv", "123", old)
	d.src.Put("dir/new.csv", "123", old)
	d.src.OnList = func(dir string) error {
		if dir == "closed" {
			return errors.New("no entry here")
		}
		return nil
	}
	d.src.Put("closed/x.csv", "1", old)
	fetches := d.src.Fetches()
	var all interapp.Listing
	d.ask("GET", listing, "").want(t, 200, &all)
	var got []string
	for _, f := range all.Files {
		got = append(got, f.Name+" "+f.State)
		if f.Reason == "" && f.State != "delivered" && f.State != "copying" {
			t.Errorf("%s has no reason", f.Name)
		}
	}
	want := []string{"0.csv delivered", "1.csv changed", "2.csv delivered", "3.csv delivered", "4.csv delivered", "closed failed", "dir/new.csv new", "~$open.docx excluded"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if all.Counts.Seen != 7 || all.ToCopy != 2 || all.More || all.Error != "" || all.Connector != "results" || time.Since(all.At) > time.Minute ||
		len(all.Failures) != 1 || all.Failures[0].Hint == "" {
		t.Errorf("%+v", all)
	}
	if d.src.Fetches() != fetches {
		t.Error("something was fetched")
	}
	var few interapp.Listing
	d.ask("GET", listing+"?limit=2", "").want(t, 200, &few)
	if len(few.Files) != 2 || few.Files[1].Name != "1.csv" || !few.More || few.Counts != all.Counts {
		t.Errorf("two of them: %+v", few)
	}
	c := interapp.NewClient(d.http.URL, "")
	defer c.Close()
	var streamed []string
	whole, err := c.ListingOf(t.Context(), "results", func(f interapp.File) { streamed = append(streamed, f.Name+" "+f.State) })
	slices.Sort(streamed)
	if err != nil || !slices.Equal(streamed, want) || len(whole.Files) != 0 || whole.Counts != all.Counts || whole.ToCopy != 2 {
		t.Errorf("as it goes: %q %+v %v", streamed, whole, err)
	}
	if l, err := c.Listing(t.Context(), "results", 3); err != nil || len(l.Files) != 3 {
		t.Errorf("%+v %v", l, err)
	}
}

// A listing is refused while another one is under way, and ends with its client.
func TestListingsOneAtATime(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("a.csv", "1", old)
	opened := make(chan struct{}, 10)
	d.change(func() { d.opening = func(ctx context.Context) { opened <- struct{}{}; <-ctx.Done() } })
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	events := d.streamed(ctx, "GET", listing)
	<-opened
	d.ask("GET", listing, "").problem(t, 409, "under way")
	for e := range d.streamed(t.Context(), "GET", listing) {
		var p interapp.Problem
		if err := json.Unmarshal([]byte(e.data), &p); err != nil || e.name != "" && (e.name != "problem" || p.Status != 409) {
			t.Errorf("as it goes: %+v %v", e, err)
		}
	}
	d.change(func() { d.opening = nil })
	leave()
	for range events { // until it is closed
	}
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); d.ask("GET", listing, "").code != 200; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the listing goes on without its client")
		}
	}
}

func TestListingWithoutConnection(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.change(func() {
		d.refuse = &status.Error{Word: status.HostNotFound, Op: "resolve", Target: "sftp.vendor.example", Err: errors.New("no such host")}
	})
	d.ask("GET", listing, "").problem(t, 502, "Host Not Found: resolve sftp.vendor.example: no such host", status.HostNotFound.Hint())
	c := interapp.NewClient(d.http.URL, "")
	defer c.Close()
	_, err := c.ListingOf(t.Context(), "results", nil)
	if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 502 {
		t.Errorf("as it goes: %v", err)
	}
}
