package sftp

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// Many files at once arrive each with its own contents on a server that gives out one
// handle for several.
func TestManyUploadsToErlang(t *testing.T) {
	for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			e := sftptest.StartErlang(t).Endpoint
			cfg := ownLogin(e)
			cfg.Limits = new(Limits)
			if change != nil {
				change(&cfg)
			}
			u := &uploading{t, openDestination(t, cfg), e.Root}
			data := noise(40_000)
			up := func(i int) (filesync.Pending, error) {
				name, own := fmt.Sprintf("d%d/f%d", i%3, i), append(fmt.Appendf(nil, "%05d", i), data...)
				for try := 0; ; try++ {
					p, _, err := u.write(name, own)
					if err == nil {
						return p, nil
					}
					if p != nil {
						_ = p.Abort(t.Context())
					}
					if !errors.Is(err, filesync.ErrBeginAnew) || try > 5 {
						return nil, err
					}
				}
			}
			done := make(chan filesync.Pending, 300)
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					p, err := up(i)
					if err != nil {
						t.Error(err)
						return
					}
					done <- p
				})
			}
			go func() { all.Wait(); close(done) }()
			for p := range done {
				batch := []filesync.Publication{{Pending: p}}
				for len(done) > 0 {
					if p, ok := <-done; ok {
						batch = append(batch, filesync.Publication{Pending: p})
					}
				}
				for _, err := range u.Publish(t.Context(), batch) {
					if err != nil {
						t.Error(err)
					}
				}
			}
			for i := range 200 {
				u.want(fmt.Sprintf("d%d/f%d", i%3, i), append(fmt.Appendf(nil, "%05d", i), data...))
			}
			if n := len(u.files()); n != 200 {
				t.Errorf("%d files", n)
			}
		})
	}
}
