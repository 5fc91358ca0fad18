package connector_test

import (
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// The third pass in a row that can deliver nothing is Nothing Deliverable, with the
// reason; a check leaves that, and a pass that delivers ends it.
func TestNothingDeliverable(t *testing.T) {
	for name, faults := range map[string]sftptest.Faults{
		"times that change as a file is read": {Attributes: func(op sftptest.Op, path string, a *sftptest.Attributes) {
			a.ModTime = time.Now().Add(time.Duration(len(path)))
			if op == sftptest.OpReaddir {
				a.ModTime = time.Unix(1_700_000_000, 0)
			}
			a.Size += int64(op) // and a size that differs in each answer
		}},
		"files that cannot be read": {Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpOpen)},
	} {
		t.Run(name, func(t *testing.T) {
			srv := sftptest.StartFaulty(t, faults)
			r := newRig(t, srv.Endpoint)
			put(t, srv.Endpoint, "a.csv", []byte("data"), time.Unix(1_700_000_000, 0))
			for i := range 4 {
				p := r.apply()
				want, outcome := status.ConnectionValid, p.Result.Outcome
				if i >= 2 {
					want = status.NothingDeliverable
				}
				health := r.connector.Report().Health
				if p.Status != want || health.Status != want || p.Result.Files.Copied != 0 {
					t.Errorf("pass %d: %s, %s, %+v", i+1, p.Status, health.Status, p.Result.Files)
				}
				if i >= 2 && (outcome != filesync.Partial || !strings.Contains(health.Error, "a.csv") || health.Hint == "") {
					t.Errorf("pass %d: %s, %+v", i+1, outcome, health)
				}
			}
			since := r.connector.Report().Health.Since
			if c := r.connector.Check(t.Context(), nil); c.ConnectionStatus != string(status.ConnectionValid) {
				t.Errorf("the check says %+v", c)
			}
			if h := r.connector.Report().Health; h.Status != status.NothingDeliverable || !h.Since.Equal(since) {
				t.Errorf("after a check: %+v", h)
			}
			srv.Set(func(f *sftptest.Faults) { *f = sftptest.Faults{} })
			if p := r.apply(); p.Status != status.ConnectionValid || p.Result.Files.Copied != 1 {
				t.Errorf("mended: %s, %+v", p.Status, p.Result)
			}
		})
	}
}
