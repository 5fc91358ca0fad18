//go:build linux

package operator

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// healthy runs the daemon on a source that is well but for what spoil does.
func healthy(c settings, spoil func(r *rig) (mend func())) scenario {
	return func(r *rig) func() {
		s := r.newSSHD()
		c := c
		c.sftp = s.login()
		mend := spoil(r)
		r.run(c)
		return mend
	}
}

func fileFaults() map[string]scenario {
	return map[string]scenario{
		"Source directory missing": healthy(settings{}, func(r *rig) func() {
			r.remove("source")
			return func() { r.mkdir("source") }
		}),
		"Source directory not readable": healthy(settings{}, func(r *rig) func() {
			r.chmod("source", 0)
			return func() { r.chmod("source", 0o755) }
		}),
		"One directory not readable": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.mkdir("source/below")
			r.chmod("source/below", 0)
			return func() { r.chmod("source/below", 0o755) }
		}),
		"One file not readable": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.write("source/bad.csv", []byte("bad"))
			r.chmod("source/bad.csv", 0)
			return func() { r.chmod("source/bad.csv", 0o600); r.apply() }
		}),
		"One file quarantined": healthy(settings{every: "N/A"}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.write("source/bad.csv", []byte("bad"))
			r.chmod("source/bad.csv", 0)
			return func() {
				r.chmod("source/bad.csv", 0o600)
				r.must(r.ask("POST", "/api/v1/connectors/results/retry", map[string]any{}, nil))
				r.apply()
			}
		}).then(func(r *rig) {
			for range 6 { // five tries, and a pass that leaves it alone
				r.applied()
			}
		}),
		"File never stands still": healthy(settings{settle: "2s"}, func(r *rig) func() {
			return r.everyMoment(func(n int) { r.write("source/log.csv", []byte(strings.Repeat("x", n))) })
		}),
		"File changes while it is copied": healthy(settings{}, func(r *rig) func() {
			r.write("source/live.bin", make([]byte, 4<<20))
			return r.everyMoment(func(n int) {
				then := time.Unix(1_700_000_000+int64(n), 0)
				r.must(os.Chtimes(r.path("source/live.bin"), then, then))
			})
		}),
		"Nothing deliverable": healthy(settings{}, func(r *rig) func() {
			r.must(syscall.Mkfifo(r.path("source/pipe"), 0o666))
			return func() { r.remove("source/pipe"); r.write("source/good.csv", []byte("good")) }
		}),
		"Conflict at the destination": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.write("source/taken.csv", []byte("new"))
			r.write("destination/taken.csv", []byte("somebody else's"))
			return func() { r.remove("destination/taken.csv") }
		}),
		"Name unsafe": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.write(`source/a\b.csv`, []byte("unsafe"))
			return func() { r.must(os.Rename(r.path(`source/a\b.csv`), r.path("source/ab.csv"))) }
		}),
	}
}

// then has something done after a scenario has begun.
func (s scenario) then(do func(*rig)) scenario {
	return func(r *rig) func() {
		end := s(r)
		do(r)
		return end
	}
}

// everyMoment does something every few milliseconds until stop.
func (r *rig) everyMoment(do func(n int)) (stop func()) {
	end := make(chan struct{})
	var task sync.WaitGroup
	task.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			do(n)
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	stop = sync.OnceFunc(func() { close(end); task.Wait() })
	r.Cleanup(stop)
	return stop
}
