package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sftpconnector/connector"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// setCollector turns connector.Reports into metrics when they are asked for.
type setCollector struct {
	set     *connector.Set
	metrics *Metrics

	count, passes, files, bytes, failures, errors, skipped *prometheus.Desc
	success, status, valid, running, paused                *prometheus.Desc
	last, next, interval                                   *prometheus.Desc
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
		last:     desc("last_pass_files", "Files that the last pass left undone, by their state: waiting, failed, conflict, quarantined, unsafe; absent when it could not run, or was cancelled.", c, "state"),
		next:     desc("next_pass_timestamp_seconds", "When the next automatic pass is due; absent when none is.", c),
		interval: desc("interval_seconds", "The interval of the automatic passes; absent when they come by a cron expression, or never.", c),
	}
}

// Describe implements prometheus.Collector.
func (c *setCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.count, c.passes, c.files, c.bytes, c.failures, c.errors, c.skipped, c.success, c.status, c.valid, c.running, c.paused, c.last, c.next, c.interval,
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
		if !r.Next.IsZero() {
			gauge(c.next, seconds(r.Next))
		}
		if r.Schedule.Interval > 0 {
			gauge(c.interval, r.Schedule.Interval.Seconds())
		}
		for state, n := range undone(r.Last) {
			gauge(c.last, float64(n), state)
		}
	}
	out <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(count))
	for name, at := range c.metrics.lastSuccess(names) {
		out <- prometheus.MustNewConstMetric(c.success, prometheus.GaugeValue, seconds(at), name)
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

// undone are the files that a pass left as they are, by their state; none when it does
// not know.
func undone(p *connector.PassReport) map[string]int64 {
	if p == nil || p.Result.Outcome != filesync.Succeeded && p.Result.Outcome != filesync.Partial {
		return nil
	}
	n := p.Result.Files
	return map[string]int64{
		"waiting": n.Waiting, "failed": n.Failed, "conflict": n.Conflict, "quarantined": n.Quarantined, "unsafe": n.Unsafe,
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
