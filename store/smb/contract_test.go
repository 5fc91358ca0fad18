package smb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"sftpconnector/store/pending"
	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is the way to a directory on the share of a server.
func config(s *smbtest.Server, dir string) smb.Config {
	return smb.Config{
		Target:   smb.Target{Host: s.Host, Port: s.Port, Share: s.Share, Directory: dir},
		Username: s.User, Password: s.Password, Owner: pending.NewOwner("0badcafe", "c", 0),
	}
}

func open(t *testing.T, cfg smb.Config) *smb.Destination {
	t.Helper()
	d, err := smb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// places gives directories on the share of s, each of its own, with nothing
// beside them.
func places(s *smbtest.Server) func(t *testing.T) storetest.Place {
	var n atomic.Int32
	return func(t *testing.T) storetest.Place {
		dir := fmt.Sprintf("place%d/to", n.Add(1))
		if err := os.Mkdir(filepath.Dir(filepath.Join(s.Dir, dir)), 0o777); err != nil {
			t.Fatal(err)
		}
		as := func(owner string) func(*testing.T) filesync.Destination {
			return func(t *testing.T) filesync.Destination {
				t.Helper()
				cfg := config(s, dir)
				cfg.Owner = pending.NewOwner(owner, "c", 0)
				return open(t, cfg)
			}
		}
		return storetest.Place{
			Dir: filepath.Join(s.Dir, dir), Open: as("0badcafe"), OtherOwner: as("deadbeef"),
			Refuses: smb.Refuses, FoldsCase: true, FollowsLinks: true, ByPath: true,
		}
	}
}

func TestDestination(t *testing.T) {
	t.Parallel()
	storetest.Destination(t, places(smbtest.Start(t, smbtest.Options{})))
}
