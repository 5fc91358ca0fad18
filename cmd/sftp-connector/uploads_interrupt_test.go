package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The daemon is interrupted as the first of many uploads arrive. None of them
// comes twice, also where a reader takes each away as soon as it stands there.
func TestUploadsInterruptedAsTheyArrive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		interrupt func(k *dock, round int)
		same      string
		taken     bool
	}{
		"stopped, keep-both":  {restarted, "keep-both", false},
		"stopped, taken":      {restarted, "replace", true},
		"reloaded, keep-both": {reloaded, "keep-both", false},
		"reloaded, taken":     {reloaded, "replace", true},
		"killed, keep-both":   {killed, "keep-both", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rounds, files = 2, 40
			k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
			k.settings("", spaces{"us_sp_123": "same_name: " + c.same})
			k.revive()
			k.enroll()
			reader := &reader{from: k.path("us_sp_123"), got: map[string]int{}, takes: c.taken}
			stop := reader.start()
			defer stop()
			sent := 0
			for round := range rounds {
				client := k.login("us_sp_123")
				for range files {
					content := fmt.Sprintf("file %d\n", sent)
					k.mustUpload(client, fmt.Sprintf("%d.csv", sent), content)
					sent++
				}
				client.Close()
				before := reader.count()
				k.until("some arrive", func() bool { return reader.count() > before })
				c.interrupt(k, round)
				k.until("all are imported", func() bool { return len(k.waiting("us_sp_123")) == 0 })
			}
			k.until("the reader has seen all", func() bool { return reader.count() >= sent })
			k.d.stop().gives(0)
			stop()
			for content, n := range reader.got {
				if n != 1 {
					t.Errorf("%q arrived %d times", content, n)
				}
			}
			if len(reader.got) != sent {
				t.Errorf("%d of %d arrived", len(reader.got), sent)
			}
		})
	}
}

func restarted(k *dock, _ int) { k.d.stop().gives(0); k.revive() }

func killed(k *dock, _ int) {
	k.d.signal(os.Kill)
	k.d.wait(time.Minute)
	k.revive()
}

func reloaded(k *dock, round int) {
	same := "replace"
	if text, _ := os.ReadFile(k.path("config.yaml")); strings.Contains(string(text), "keep-both") {
		same = "keep-both"
	}
	k.reload("", spaces{"us_sp_123": fmt.Sprintf("same_name: %s, retention: %dd", same, 50+round)})
}

// reader looks at what arrives, and takes it away if it takes.
type reader struct {
	from  string
	takes bool

	mu  sync.Mutex
	got map[string]int // how often each content was seen under a name
}

func (r *reader) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.got {
		n += times
	}
	return n
}

// start reads until it is stopped.
func (r *reader) start() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		known := map[string]bool{}
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
			}
			entries, _ := os.ReadDir(r.from)
			for _, e := range entries {
				at := filepath.Join(r.from, e.Name())
				if strings.HasSuffix(at, ".part") || known[at] {
					continue
				}
				text, err := os.ReadFile(at)
				if err == nil && r.takes {
					err = os.Remove(at)
				}
				if err != nil {
					continue
				}
				known[at] = !r.takes
				r.mu.Lock()
				r.got[string(text)]++
				r.mu.Unlock()
			}
		}
	}()
	return sync.OnceFunc(func() { close(end); <-ended })
}
