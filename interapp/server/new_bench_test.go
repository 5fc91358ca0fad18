package server

import (
	"testing"

	"sftpconnector/connector"
)

// What it costs to make the API, as each verb that runs without a daemon does.
func BenchmarkNew(b *testing.B) {
	set := &connector.Set{}
	b.ReportAllocs()
	for b.Loop() {
		New(Options{Set: set})
	}
}
