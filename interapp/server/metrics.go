package server

import (
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
	"sftpconnector/space"
	"sftpconnector/space/sshd"
	"sftpconnector/status"
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
	logins   *prometheus.CounterVec // of Spaces

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
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sftp_connector_space_logins_total",
			Help: "Logins to Spaces: connected; refused-login (no password or key was right), refused-full, refused-space-full (too many connections), refused-dropped (had to make room for others that log in), refused-cut (the credentials were revoked meanwhile).",
		}, []string{"result"}),
		success: map[string]time.Time{}, open: map[string]bool{},
	}
	for _, result := range loginResults() {
		m.logins.WithLabelValues(result)
	}
	for _, state := range []string{interapp.RequestReplied, interapp.RequestFailed, interapp.RequestExpired, interapp.RequestCancelled} {
		m.requests.WithLabelValues(state) // so that the first is an increase
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sftp_connector_requests_open", Help: "Requests that have no answer yet.",
	}, m.openRequests)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sftp_connector_build_info", Help: "Always 1; the labels say which program this is.",
	}, []string{"version", "go_version"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.duration, m.requests, m.logins, open, build, collectors.NewGoCollector(),
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

// setCollector turns connector.Reports into metrics when they are asked for.
type setCollector struct {
	set     *connector.Set
	metrics *Metrics

	count, passes, files, bytes, failures, errors, skipped *prometheus.Desc
	success, status, valid, running, paused                *prometheus.Desc
}

func newSetCollector(set *connector.Set, m *Metrics) *setCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sftp_connector_"+name, help, labels, nil)
	}
	const c = "connector"
	return &setCollector{
		set: set, metrics: m,
		count:    desc("connectors", "Connectors that are configured, Spaces not among them. What a Space imports has the label connector=\"spaces/ID\" in the metrics of connectors."),
		passes:   desc("passes_total", "Passes that ended, by how: succeeded, partial (some files could not be copied), failed (could not run), cancelled.", c, "state"),
		files:    desc("files_copied_total", "Files that were copied to the destination; those that were imported for a Space have connector=\"spaces/ID\".", c),
		bytes:    desc("bytes_copied_total", "Bytes of the files that were copied to the destination; of those that were imported for a Space with connector=\"spaces/ID\".", c),
		failures: desc("file_failures_total", "Failures of single files and directories; one that fails in every pass counts in each.", c),
		errors:   desc("errors_total", "Passes and checks that failed, by the Connection Status that they ended in.", c, "status"),
		skipped:  desc("skipped_ticks_total", "Automatic passes that were due while another pass ran.", c),
		success:  desc("last_success_timestamp_seconds", "When the last pass ended that succeeded or was partial; absent until there is one since the program started.", c),
		status:   desc("connection_status", "Always 1; the label status is the Connection Status of the moment.", c, "status"),
		valid:    desc("connection_valid", "1 when the Connection Status is Connection Valid, else 0.", c),
		running:  desc("pass_running", "1 while a pass runs, else 0.", c),
		paused:   desc("paused", "1 while the connector is paused by a person, else 0; its connection_valid is 0 then.", c),
	}
}

// Describe implements prometheus.Collector.
func (c *setCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.count, c.passes, c.files, c.bytes, c.failures, c.errors, c.skipped, c.success, c.status, c.valid, c.running, c.paused,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *setCollector) Collect(out chan<- prometheus.Metric) {
	all := c.set.All()
	names := make([]string, 0, len(all))
	count := 0
	for _, one := range all {
		if one.Config().Space == nil {
			count++
		}
		r := one.Report()
		names = append(names, r.Name)
		c.totals(out, r.Name, r.Totals)
		word := r.Health.Status
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{r.Name}, labels...)...)
		}
		gauge(c.status, 1, string(word))
		gauge(c.valid, truth(word == status.ConnectionValid))
		gauge(c.running, truth(r.Running != nil))
		gauge(c.paused, truth(r.Paused != nil))
	}
	out <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(count))
	for name, at := range c.metrics.lastSuccess(names) {
		out <- prometheus.MustNewConstMetric(c.success, prometheus.GaugeValue, float64(at.UnixMilli())/1000, name)
	}
}

// totals are the counters of one connector. All outcomes are there from the
// start, so that the first of each is an increase that a rate sees.
func (c *setCollector) totals(out chan<- prometheus.Metric, name string, t connector.Totals) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{name}, labels...)...)
	}
	for _, o := range []filesync.Outcome{filesync.Succeeded, filesync.Partial, filesync.Failed, filesync.Cancelled} {
		counter(c.passes, t.Passes[o], string(o))
	}
	for word, n := range t.Errors {
		counter(c.errors, n, string(word))
	}
	counter(c.files, t.Files)
	counter(c.bytes, t.Bytes)
	counter(c.failures, t.Failed)
	counter(c.skipped, t.Skipped)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
