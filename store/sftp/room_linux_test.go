package sftp

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// OpenSSH tells the room of the file system that a file goes to, and one that
// does not fit is not begun: nothing of it is read or written.
func TestRoomOfOpenSSH(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	u := uploadTo(t, s.Endpoint, nil)
	u.must(os.Mkdir(u.at("small"), 0o777))
	total := int64(0)
	if err := unix.Mount("tmpfs", u.at("small"), "tmpfs", 0, fmt.Sprintf("size=%d", 8*mib)); err == nil {
		total = 8 * mib
		t.Cleanup(func() {
			if err := unix.Unmount(u.at("small"), unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	for _, dir := range []string{"", "small", "small/not/yet"} {
		r, err := u.Room(t.Context(), dir)
		if err != nil || r.Free <= 0 || r.Free > r.Total || dir != "" && total > 0 && r.Total != total {
			t.Errorf("%q: %+v %v", dir, r, err)
		}
	}
	if total == 0 {
		t.Log("no file system can be mounted here: TestRoomIsAskedFirst has to do")
		return
	}
	r := newUploader(t)
	r.src.Put("small/large", string(noise(9*mib)), old)
	r.src.Put("small/fits", "fits", old)
	r.src.Put("large", string(noise(9*mib)), old)
	for range 2 {
		if result := r.pass(u, nil); result.Outcome != filesync.Failed || !errors.Is(result.Err, filesync.ErrFull) || result.Files.Failed != 1 {
			t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Err)
		}
	}
	if n := r.src.Fetches(); n != 2 {
		t.Errorf("%d files were read, want those that fit, once", n)
	}
	u.wantFiles("large", "small/fits")
}

// A server that does not tell, or tells nothing that can be meant, gets its files.
func TestRoomIsAskedFirst(t *testing.T) {
	for name, test := range map[string]struct {
		faults sftptest.Faults
		full   bool
	}{
		"too little":  {sftptest.Faults{Room: 100_000}, true},
		"not told":    {sftptest.Faults{NoExtensions: true}, false},
		"unsupported": {sftptest.Faults{Fail: sftptest.Refuse(sftptest.Status(wire.CodeUnsupported), sftptest.OpExtended)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, test.faults, nil)
			r := newUploader(t)
			r.src.Put("d/large", string(noise(200_000)), old)
			result := r.pass(u, nil)
			if full := errors.Is(result.Err, filesync.ErrFull); full != test.full || (result.Files.Copied == 1) == full {
				t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Err)
			}
			if n := s.Counts().Ops[sftptest.OpWrite]; n > 0 == test.full {
				t.Errorf("%d WRITEs", n)
			}
		})
	}
}
