package server

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/notify"
	"sftpconnector/space"
	"sftpconnector/space/sshd"
	filesync "sftpconnector/sync"
)

// Metrics are what the daemon counts beyond what a connector.Report says. They
// exist before the connectors do, which tell them of their passes.
type Metrics struct {
	registry *prometheus.Registry
	// Its labels are few on purpose: a histogram for each of ten thousand
	// connectors would be a hundred thousand series.
	duration *prometheus.HistogramVec
	requests *prometheus.CounterVec
	postings *prometheus.CounterVec
	logins   *prometheus.CounterVec // of Spaces
	refusals *prometheus.CounterVec // of wrong tokens and secret keys

	mu      sync.Mutex
	success map[string]time.Time // of each connector's last good pass
	open    map[string]bool      // requests without an answer, by id
}

// NewMetrics makes the metrics of a program of this version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sftp_connector_pass_duration_seconds", Help: "How long passes took, by how they ended.",
			Buckets: []float64{.1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400},
		}, []string{"state"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sftp_connector_requests_total", Help: "Requests that ended, by how: replied, failed, expired, cancelled.",
		}, []string{"state"}),
		postings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sftp_connector_postings_total",
			Help: "Tries to post replies and deliveries to the programs that want them, by how they went: posted, failed (it is tried again), given-up (the receiver answered 410).",
		}, []string{"event", "result"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sftp_connector_space_logins_total",
			Help: "Logins to Spaces: connected; refused-login (no password or key was right), refused-full, refused-space-full (too many connections), refused-dropped (had to make room for others that log in), refused-cut (the credentials were revoked meanwhile).",
		}, []string{"result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sftp_connector_secrets_refused_total", Help: "Wrong tokens, and wrong secret keys of Spaces.",
		}, []string{"what"}),
		success: map[string]time.Time{}, open: map[string]bool{},
	}
	for _, what := range []string{tokenRefused, credentialsRefused} {
		m.refusals.WithLabelValues(what)
	}
	for _, result := range loginResults() {
		m.logins.WithLabelValues(result)
	}
	for _, state := range []string{interapp.RequestReplied, interapp.RequestFailed, interapp.RequestExpired, interapp.RequestCancelled} {
		m.requests.WithLabelValues(state) // so that the first is an increase
	}
	for _, event := range []string{interapp.EventReply, interapp.EventDeliveries} {
		for _, result := range []string{postingPosted, postingFailed, postingGivenUp} {
			m.postings.WithLabelValues(event, result)
		}
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sftp_connector_requests_open", Help: "Requests that have no answer yet.",
	}, m.openRequests)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sftp_connector_build_info", Help: "Always 1; the labels say which program this is.",
	}, []string{"version", "go_version"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.duration, m.requests, m.postings, m.logins, m.refusals, open, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ObservePass is told of each pass that ended, by connector.Parts.OnPass. It
// may be called concurrently.
func (m *Metrics) ObservePass(name string, p connector.PassReport) {
	r := p.Result
	m.duration.WithLabelValues(string(r.Outcome)).Observe(max(0, r.Finished.Sub(r.Started)).Seconds())
	if r.Outcome == filesync.Succeeded || r.Outcome == filesync.Partial {
		m.mu.Lock()
		m.success[name] = r.Finished
		m.mu.Unlock()
	}
}

// ObserveRequest is told of each change of a request's state, by
// requests.Options.OnChange. It may be called concurrently.
func (m *Metrics) ObserveRequest(r interapp.RequestState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !r.Ended() {
		m.open[r.ID] = true
		return
	}
	delete(m.open, r.ID)
	m.requests.WithLabelValues(r.State).Inc()
}

// How a try to post went.
const (
	postingPosted  = "posted"
	postingFailed  = "failed"
	postingGivenUp = "given-up"
)

// ObservePosting is told of each try to post, by requests.Options.OnPosting. It may be
// called concurrently.
func (m *Metrics) ObservePosting(event string, err error) {
	result := postingPosted
	switch {
	case errors.Is(err, notify.ErrGone):
		result = postingGivenUp
	case err != nil:
		result = postingFailed
	}
	m.postings.WithLabelValues(event, result).Inc()
}

// loginResults are the labels of logins. There are no others, whatever comes.
func loginResults() map[sshd.Reason]string {
	return map[sshd.Reason]string{
		"":                    "connected",
		sshd.RefusedLogin:     "refused-login",
		sshd.RefusedDropped:   "refused-dropped",
		sshd.RefusedFull:      "refused-full",
		sshd.RefusedSpaceFull: "refused-space-full",
		sshd.RefusedCut:       "refused-cut",
	}
}

// ObserveSession is told of logins to Spaces and their ends, by
// space.Options.OnSession. It may be called concurrently.
func (m *Metrics) ObserveSession(e sshd.Event) {
	if e.Kind == sshd.Closed {
		return
	}
	if result, known := loginResults()[e.Reason]; known {
		m.logins.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) openRequests() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(len(m.open))
}

// lastSuccess gives the times of the named connectors: some that were observed may
// no longer be configured.
func (m *Metrics) lastSuccess(names []string) map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := make(map[string]time.Time, len(names))
	for _, name := range names {
		if at, ok := m.success[name]; ok {
			known[name] = at
		}
	}
	return known
}

// handler serves the metrics, those of the connectors in set and of spaces, which
// may be nil, among them.
func (m *Metrics) handler(set *connector.Set, spaces *space.Spaces, log *slog.Logger) http.Handler {
	connectors := prometheus.NewRegistry()
	connectors.MustRegister(newSetCollector(set, m))
	if spaces != nil {
		connectors.MustRegister(newSpaceCollector(spaces, log))
	}
	return promhttp.HandlerFor(prometheus.Gatherers{m.registry, connectors}, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: 4,
	})
}
