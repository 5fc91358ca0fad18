package server_test

import (
	"strings"
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

// The last passes of connectors and Spaces come with one call.
func TestRecentPasses(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	d.src.Put("a", "12", old)
	for range 2 {
		d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	}
	var recent interapp.RecentPasses
	d.ask("GET", "/api/v1/passes?connectors=results,spaces/us_1,none", "").want(t, 200, &recent)
	marks := recent.Connectors["results"]
	if len(recent.Connectors) != 3 || len(marks) != 2 || recent.Connectors["none"] == nil || len(recent.Connectors["spaces/us_1"]) != 0 {
		t.Fatalf("%+v", recent)
	}
	if m := marks[1]; m.Mode != "apply" || m.State != "succeeded" || m.Files != 1 || m.Bytes != 2 || m.Failed != 0 || m.Started.After(marks[0].Started) {
		t.Errorf("%+v", marks)
	}
	byClient, err := interapp.NewClient(d.http.URL, "").RecentPasses(t.Context(), []string{"results"}, 1)
	if err != nil || len(byClient["results"]) != 1 || byClient["results"][0] != marks[0] {
		t.Errorf("%+v %v", byClient, err)
	}
	for _, query := range []string{"", "?connectors=", "?connectors=results&limit=101", "?connectors=" + strings.Repeat("x,", 100) + "x"} {
		d.ask("GET", "/api/v1/passes"+query, "").problem(t, 422)
	}
}
