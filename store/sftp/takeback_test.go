package sftp

import (
	"os"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// A file that shows less than was written once it has its own name is taken back
// from there, and not from the name that it had before.
func TestHalfFileIsTakenBackFromItsName(t *testing.T) {
	hiddenLooks := func(op sftptest.Op, path string) sftptest.Status {
		if strings.HasSuffix(path, ".part") && (op == sftptest.OpStat || op == sftptest.OpLstat || op == sftptest.OpFstat) {
			return sftptest.StatusPermissionDenied
		}
		return sftptest.StatusOK
	}
	cut := func(path string) {
		if !strings.HasSuffix(path, ".part") {
			_ = os.Truncate(path, 3)
		}
	}
	for name, replacing := range map[string]bool{"new": false, "replaces": true} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{Fail: hiddenLooks, OnWritten: cut}, func(c *Config) { c.Timeouts.Operation = 5 * time.Second })
			p, _, err := u.write("x", []byte("whole contents"))
			u.must(err)
			if replacing {
				standing := put(t, s.Endpoint, "x", []byte("theirs"))
				err = u.publish(p, &standing)
			} else {
				err = u.publish(p, nil)
			}
			if err == nil || !strings.Contains(err.Error(), "the server has 3 bytes of it, not 14") {
				t.Errorf("got %v", err)
			}
			u.must(p.Abort(t.Context()))
			u.wantFiles()
		})
	}
}
