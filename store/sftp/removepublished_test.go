package sftp

import (
	"os"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// A file that has lost bytes by the time it has its own name is removed under that
// name, and not under the one before.
func TestPartialFileLosesItsName(t *testing.T) {
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
			u.abandon(p)
			u.wantFiles()
		})
	}
}

// A directory that is removed while a file is pending in it does not count as a
// receiver that takes pending files. Nor does a receiver that has left one alone since.
func TestRemovedDirectoryTakesNothing(t *testing.T) {
	u, _ := uploadFaulty(t, sftptest.Faults{}, nil)
	p, _, err := u.write("d/x", []byte("a"))
	u.must(err)
	u.must(os.RemoveAll(u.at("d")))
	if err := u.publish(p, nil); err == nil || !strings.Contains(err.Error(), "its directory is gone") {
		t.Errorf("got %v", err)
	}
	if u.limits.takenEarly.Load() {
		t.Error("a removed directory is taken for a receiver")
	}
	_, err = u.deliver("d/x", []byte("a"))
	u.must(err)
	u.want("d/x", []byte("a"))

	p, _, err = u.write("d/y", []byte("a"))
	u.must(err)
	u.must(os.Remove(p.(*pendingFile).path))
	if err := u.publish(p, nil); err == nil || !strings.Contains(err.Error(), "takes files away") {
		t.Errorf("got %v", err)
	}
	_, err = u.deliver("ok", []byte("a"))
	u.must(err)
	u.must(u.Probe(t.Context()))
	if why := u.Untried(); why != "" {
		t.Errorf("not tried, though the last file was left alone: %s", why)
	}
}
