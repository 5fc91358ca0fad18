package main

import (
	"os"
	"path"
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

// A mailbox hands each file out once, and confirms nothing: what came from it is said to
// be unverified, and its original is left.
func TestUnverifiedIsTold(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, server.Root, "msg.edi", "message", old)
	opened := make(chan struct{}, 1)
	server.Set(func(f *sftptest.Faults) {
		f.Fail = func(op sftptest.Op, p string) sftptest.Status {
			if path.Base(p) != "msg.edi" {
				return sftptest.StatusOK
			}
			switch op {
			case sftptest.OpOpen:
				select {
				case opened <- struct{}{}:
				default:
					return sftptest.StatusNoSuchFile
				}
			case sftptest.OpFstat, sftptest.OpStat, sftptest.OpLstat:
				if len(opened) > 0 {
					return sftptest.StatusNoSuchFile
				}
			}
			return sftptest.StatusOK
		}
	})
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results, after_copy: delete}\n", login(server.Endpoint), server.Root)
	s.run("apply").gives(0, "results: copied msg.edi (7 B), unverified", "1 of the copied files are unverified")
	s.run("history", "results").gives(0, "delivered, unverified")
	sameText(t, s.path("results/msg.edi"), "message")
	if _, err := os.Stat(path.Join(server.Root, "msg.edi")); err != nil {
		t.Error("the original was removed:", err)
	}
	// One more pass confirms nothing either, and leaves it.
	s.run("apply").gives(0, "succeeded")
	if _, err := os.Stat(path.Join(server.Root, "msg.edi")); err != nil {
		t.Error("the original was removed by the second pass:", err)
	}
}
