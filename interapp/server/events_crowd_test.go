package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp/server"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

const crowd = 100 // streams at the same time, which is all that may be

// crowdOf is an API over so many connectors that do nothing.
func crowdOf(t *testing.T, connectors int) *connector.Set {
	t.Helper()
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cfg := &config.Config{Connectors: map[string]*config.Connector{}}
	for i := range connectors {
		name := fmt.Sprintf("connector-%04d", i)
		cfg.Connectors[name] = &config.Connector{
			Name: name, Direction: config.Download, Retention: config.Duration(24 * time.Hour), TimeZone: config.TimeZone{Location: time.UTC},
			Files: config.Files{SourceDirectoryPath: "/", DestinationDirectoryPath: t.TempDir()},
		}
	}
	set, err := connector.NewSet(t.Context(), cfg, connector.Parts{}, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Stop)
	return set
}

// reader takes what a stream sends, or nothing at all.
type reader struct {
	header http.Header
	stuck  <-chan struct{} // nil: it takes everything; else it waits for that
	got    int             // bytes
}

func (r *reader) Header() http.Header              { return r.header }
func (r *reader) WriteHeader(int)                  {}
func (r *reader) Flush()                           {}
func (r *reader) SetWriteDeadline(time.Time) error { return nil }

func (r *reader) Write(b []byte) (int, error) {
	if r.got += len(b); r.stuck != nil && r.got > 100 {
		<-r.stuck
	}
	return len(b), nil
}

// attend opens the streams; end closes them, and waits for that.
func attend(ctx context.Context, api http.Handler, readers []*reader) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup
	for _, r := range readers {
		streams.Go(func() {
			api.ServeHTTP(r, httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/api/v1/events", nil))
		})
	}
	synctest.Wait()
	return func() { cancel(); streams.Wait() }
}

// Ten thousand events for a hundred streams, some of which take nothing, leave the heap
// as it was.
func TestEventsLeaveTheHeapFlat(t *testing.T) {
	set := crowdOf(t, 1)
	synctest.Test(t, func(t *testing.T) {
		events := server.NewEvents()
		api := server.New(server.Options{Set: set, Events: events})
		freed := make(chan struct{})
		var readers []*reader
		for i := range crowd {
			r := &reader{header: http.Header{}}
			if i%10 == 0 {
				r.stuck = freed
			}
			readers = append(readers, r)
		}
		end := attend(t.Context(), api, readers)
		tell := func(n int) {
			for i := range n {
				file := filesync.Entry{Name: fmt.Sprintf("station-%d/trace-%06d.csv", i%7, i), Size: int64(i)}
				events.Delivered("connector-0000", filesync.Delivered{Delivery: filesync.Delivery{Source: file, Target: file, Pass: "1"}})
				if i%100 == 0 {
					synctest.Wait() // the readers keep up
				}
			}
			synctest.Wait()
		}
		tell(1000) // the queues of those that take nothing are full
		before, told := heap(), readers[1].got
		tell(10_000)
		after := heap()
		close(freed)
		synctest.Wait()
		end()
		t.Logf("%d bytes before, %d after", before, after)
		if after > before+before/10 {
			t.Errorf("the heap grew from %d to %d bytes", before, after)
		}
		if got := readers[1].got - told; got < 10_000*100 {
			t.Errorf("only %d bytes were told of 10,000 events", got)
		}
	})
}

// heap is the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
