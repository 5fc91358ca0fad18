package server_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// sample gives the value of a series in the text format; ok is whether it is there.
func (d *daemon) sample(series string) (value float64, ok bool) {
	d.t.Helper()
	a := d.ask("GET", "/metrics", "")
	a.want(d.t, 200, nil)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(a.body)
	if m == nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return value, true
}

func (d *daemon) wantSamples(want map[string]float64) {
	d.t.Helper()
	for series, value := range want {
		if got, ok := d.sample(series); !ok || got != value {
			d.t.Errorf("%s: %v (there: %t), want %v", series, got, ok, value)
		}
	}
}

func TestMetricsBeforeAnyPass(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.wantSamples(map[string]float64{
		`sftp_connector_connectors`: 1,
		`sftp_connector_passes_total{connector="results",state="succeeded"}`:                 0,
		`sftp_connector_passes_total{connector="results",state="failed"}`:                    0,
		`sftp_connector_connection_status{connector="results",status="Not Checked"}`:         1,
		`sftp_connector_connection_valid{connector="results"}`:                               0,
		`sftp_connector_pass_running{connector="results"}`:                                   0,
		`sftp_connector_skipped_ticks_total{connector="results"}`:                            0,
		`sftp_connector_build_info{go_version="` + runtime.Version() + `",version="v1.2.3"}`: 1,
	})
	if _, ok := d.sample(`sftp_connector_last_success_timestamp_seconds{connector="results"}`); ok {
		t.Error("a success before any pass")
	}
	if _, ok := d.sample(`go_goroutines`); !ok {
		t.Error("no metrics of the Go runtime")
	}
}

func TestMetricsOfPasses(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("good.csv", "12345", old)
	d.src.Put("bad.csv", "1", old)
	d.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "bad.csv" {
			return errors.New("broken sector")
		}
		return nil
	}
	before := float64(time.Now().Unix())
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	d.wantSamples(map[string]float64{
		`sftp_connector_passes_total{connector="results",state="partial"}`:                1,
		`sftp_connector_files_copied_total{connector="results"}`:                          1,
		`sftp_connector_bytes_copied_total{connector="results"}`:                          5,
		`sftp_connector_file_failures_total{connector="results"}`:                         1,
		`sftp_connector_last_pass_files{connector="results",state="failed"}`:              1,
		`sftp_connector_last_pass_files{connector="results",state="quarantined"}`:         0,
		`sftp_connector_connection_status{connector="results",status="Connection Valid"}`: 1,
		`sftp_connector_connection_valid{connector="results"}`:                            1,
		`sftp_connector_pass_duration_seconds_count{state="partial"}`:                     1,
	})
	success, ok := d.sample(`sftp_connector_last_success_timestamp_seconds{connector="results"}`)
	if !ok || success < before || success > before+60 {
		t.Errorf("last success %f, want about %f", success, before)
	}

	d.change(func() { d.refuse = &status.Error{Word: status.AuthenticationFailed, Op: "log in"} })
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	d.wantSamples(map[string]float64{
		`sftp_connector_passes_total{connector="results",state="failed"}`:                      1,
		`sftp_connector_errors_total{connector="results",status="Authentication Failed"}`:      1,
		`sftp_connector_connection_status{connector="results",status="Authentication Failed"}`: 1,
		`sftp_connector_connection_valid{connector="results"}`:                                 0,
		`sftp_connector_pass_duration_seconds_count{state="failed"}`:                           1,
		`sftp_connector_last_success_timestamp_seconds{connector="results"}`:                   success,
	})
	if _, ok := d.sample(`sftp_connector_connection_status{connector="results",status="Connection Valid"}`); ok {
		t.Error("the old status is still shown")
	}
	if n, ok := d.sample(`sftp_connector_last_pass_files{connector="results",state="failed"}`); ok {
		t.Errorf("a pass that could not run knows of %v failed files", n)
	}
}

func TestMetricsWhileAPassRuns(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x", "1", old)
	open := d.close()
	d.ask("POST", "/api/v1/connectors/results/apply", "").want(t, 202, nil)
	d.awaitFetch()
	d.wantSamples(map[string]float64{`sftp_connector_pass_running{connector="results"}`: 1})
	open()
	var p interapp.Pass
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &p)
	d.wantSamples(map[string]float64{`sftp_connector_pass_running{connector="results"}`: 0})
}

func TestMetricsOfRequests(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.wantSamples(map[string]float64{
		`sftp_connector_requests_total{state="replied"}`: 0, `sftp_connector_requests_total{state="cancelled"}`: 0, `sftp_connector_requests_open`: 0,
	})
	d.src.Put("x", "1", old)
	open := d.close()
	d.ask("POST", pathOfRequests, `{"id":"r1"}`).want(t, 202, nil)
	d.awaitFetch()
	d.ask("POST", pathOfRequests, `{"id":"r2"}`).want(t, 202, nil)
	d.wantSamples(map[string]float64{`sftp_connector_requests_open`: 2})
	d.ask("DELETE", "/api/v1/requests/r2", "").want(t, 200, nil)
	open()
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`).want(t, 200, nil)
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`).want(t, 200, nil)
	d.wantSamples(map[string]float64{
		`sftp_connector_requests_total{state="replied"}`: 1, `sftp_connector_requests_total{state="cancelled"}`: 1,
		`sftp_connector_requests_total{state="failed"}`: 0, `sftp_connector_requests_total{state="expired"}`: 0, `sftp_connector_requests_open`: 0,
	})
}

func TestMetricsOfTheSchedule(t *testing.T) {
	d := newDaemon(t, server.Options{})
	const next, interval = `sftp_connector_next_pass_timestamp_seconds{connector="results"}`, `sftp_connector_interval_seconds{connector="results"}`
	schedule := func(text string) (at, every float64, due, even bool) {
		d.ask("PUT", "/api/v1/connectors/results/schedule", `{"automatic_sftp_file_sync":"`+text+`"}`).want(t, 200, nil)
		at, due = d.sample(next)
		every, even = d.sample(interval)
		return at, every, due, even
	}
	if _, _, due, even := schedule("N/A"); due || even {
		t.Errorf("without a schedule: due %t, interval %t", due, even)
	}
	now := float64(time.Now().Unix())
	if at, every, _, _ := schedule("2h"); every != 7200 || at < now || at > now+3*3600 {
		t.Errorf("next %f at %f, interval %f", at, now, every)
	}
	if at, _, due, even := schedule("0 0 1 1 *"); !due || at < now || even {
		t.Errorf("by cron: next %f (due %t), interval %t", at, due, even)
	}
}

// Each try to post is counted, by what became of it.
func TestMetricsOfPostings(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for result, code := range map[string]int{"posted": http.StatusNoContent, "failed": http.StatusBadGateway, "given-up": http.StatusGone} {
		series := `sftp_connector_postings_total{event="reply",result="` + result + `"}`
		d.wantSamples(map[string]float64{series: 0})
		r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		t.Cleanup(r.Close)
		d.ask("POST", pathOfRequests, `{"reply_to":"`+r.URL+`"}`).want(t, 202, nil)
		d.until("the try is counted as "+result, func() bool { n, _ := d.sample(series); return n > 0 })
	}
	d.wantSamples(map[string]float64{`sftp_connector_postings_total{event="deliveries",result="failed"}`: 0})
}

// A connector that is no longer configured leaves no series behind.
func TestMetricsForgetConnectors(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.metrics.ObservePass("gone", connector.PassReport{Result: filesync.Result{Outcome: filesync.Succeeded, Started: old, Finished: old}})
	if a := d.ask("GET", "/metrics", ""); strings.Contains(a.body, `connector="gone"`) {
		t.Error("a series of a connector that there is not")
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x", "1", old)
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	d.change(func() { d.refuse = &status.Error{Word: status.ConnectionLost, Op: "read"} })
	d.ask("POST", "/api/v1/connectors/results/check", "").want(t, 200, nil)
	d.ask("PUT", "/api/v1/connectors/results/schedule", `{"automatic_sftp_file_sync":"2h"}`).want(t, 200, nil)
	text := d.ask("GET", "/metrics", "").body
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, name := range []string{
		"passes_total", "files_copied_total", "bytes_copied_total", "file_failures_total", "errors_total", "skipped_ticks_total",
		"last_success_timestamp_seconds", "connection_status", "connection_valid", "pass_duration_seconds", "pass_running", "connectors", "build_info", "requests_total", "requests_open",
		"paused", "last_pass_files", "next_pass_timestamp_seconds", "interval_seconds", "postings_total",
	} {
		if !strings.Contains(text, "# HELP sftp_connector_"+name+" ") {
			t.Errorf("no sftp_connector_%s", name)
		}
	}
}
