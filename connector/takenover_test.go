package connector_test

import (
	"context"
	"errors"
	"testing"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// A pass whose connector is taken over by another process ends and says so. The next
// one has the connector again, and finishes what was left.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, s.Endpoint, "x.csv", []byte("x"), old)
	taken := false
	r := newRig(t, s.Endpoint, func(r *rig) {
		r.parts.Source = func(ctx context.Context, cfg *config.Connector, observe status.Observer) (connector.Source, error) {
			if !taken {
				taken = true
				takeOver(t, r.data)
			}
			return r.source(ctx, cfg, observe)
		}
	})
	p := r.apply()
	r.want(p, filesync.Failed, "")
	if _, ok := errors.AsType[*ledger.TakenOverError](p.Result.Err); !ok || p.Status != status.LedgerUnavailable {
		t.Errorf("%q: %v", p.Status, p.Result.Err)
	}
	if h := r.connector.Report().Health; h.Status != status.LedgerUnavailable || h.Hint != (*ledger.TakenOverError)(nil).Hint() {
		t.Errorf("%q, with the hint %q", h.Status, h.Hint)
	}
	r.want(r.apply(), filesync.Succeeded, "copied=1")
	r.wantFile("x.csv", []byte("x"))
	if names := r.standing(); len(names) != 1 {
		t.Errorf("at the destination stand %q", names)
	}
	if h := r.connector.Report().Health; h.Status != status.ConnectionValid {
		t.Errorf("%q after the next pass", h.Status)
	}
}

// takeOver claims the connector as another process would.
func takeOver(t *testing.T, data string) {
	t.Helper()
	other, err := ledger.Open(t.Context(), data)
	if err != nil {
		t.Error(err)
		return
	}
	defer other.Close()
	c, err := other.Connector(t.Context(), "c")
	if err == nil {
		_, err = c.Claim(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}
