package web

import (
	"net/http/httptest"
	"strconv"
	"testing"
)

// BenchmarkOverview draws the overview of a thousand connectors.
func BenchmarkOverview(b *testing.B) {
	s := newSite(nil)
	c := s.api.Connectors[2]
	for len(s.api.Connectors) < 1000 {
		c.Name = "connector-" + strconv.Itoa(len(s.api.Connectors))
		s.api.Connectors = append(s.api.Connectors, c)
	}
	for b.Loop() {
		s.pages.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
}
