package server

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"sftpconnector/space"
)

// spaceCollector turns the state of Spaces into metrics when they are asked for.
type spaceCollector struct {
	spaces *space.Spaces
	log    *slog.Logger

	count, bytes, files, entries, most, quota, refused, sessions *prometheus.Desc
}

func newSpaceCollector(s *space.Spaces, log *slog.Logger) *spaceCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sftp_connector_"+name, help, labels, nil)
	}
	const id = "space"
	return &spaceCollector{
		spaces: s, log: log,
		count:    desc("spaces", "Spaces that are configured."),
		bytes:    desc("space_inbox_bytes", "Bytes that were uploaded and are not imported yet, uploads under way included.", id),
		files:    desc("space_inbox_files", "Files that were uploaded and are not imported yet, uploads under way included.", id),
		entries:  desc("space_inbox_entries", "Files and directories in the inbox.", id),
		most:     desc("space_inbox_maximum_entries", "Files and directories that the inbox takes; uploads of new names that would pass it fail.", id),
		quota:    desc("space_inbox_quota_bytes", "Bytes that the inbox takes; uploads that would pass it fail.", id),
		refused:  desc("space_uploads_refused_total", "Uploads that failed at a limit, or for the server's disk.", id),
		sessions: desc("space_sessions", "Clients that are logged in.", id),
	}
}

// Describe implements prometheus.Collector.
func (c *spaceCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.count, c.bytes, c.files, c.entries, c.most, c.quota, c.refused, c.sessions} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *spaceCollector) Collect(out chan<- prometheus.Metric) {
	ids := c.spaces.IDs()
	out <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(len(ids)))
	for _, id := range ids {
		st, err := c.spaces.Status(id)
		if st.ID == "" {
			continue // a reload has ended it
		}
		if err != nil { // the passwords cannot be read; the rest is there
			c.log.Warn("metrics of a Space", "space", id, "error", err)
		}
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, id)
		}
		gauge(c.bytes, float64(st.Bytes))
		gauge(c.files, float64(st.Files))
		gauge(c.entries, float64(st.Room.Entries))
		gauge(c.most, float64(st.Room.MaximumEntries))
		gauge(c.quota, float64(st.Quota))
		out <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(st.Refused), id)
		gauge(c.sessions, float64(len(st.Sessions)))
	}
}
