package sftp

import (
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// openDestination opens a Destination that is closed when the test ends.
func openDestination(t testing.TB, cfg Config) *Destination {
	t.Helper()
	if cfg.Owner == (pending.Owner{}) {
		cfg.Owner = pending.NewOwner("0badcafe", "c", 0)
	}
	d, err := OpenDestination(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// refusing are servers that a Destination has to work with.
func refusing() map[string]sftptest.Faults {
	return map[string]sftptest.Faults{
		"plain":              {},
		"no extensions":      {NoExtensions: true},
		"no posix-rename":    {Without: []string{wire.PosixRenameExtension}},
		"extensions refused": {Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpExtended)},
		"one channel":        {MaxChannels: 1},
		"one open file":      {MaxOpenFiles: 1},
		"no FSTAT":           {Fail: sftptest.Refuse(sftptest.StatusOpUnsupported, sftptest.OpFstat)},
		"no FSETSTAT":        {Fail: sftptest.Refuse(sftptest.StatusFailure, sftptest.OpFsetstat)},
		"shuffled":           {ShuffleWrites: true},
		"short WRITEs":       {MaxWrite: 2000, NoReadWrite: true},
		"lexical":            {LexicalRealpath: true},
	}
}

func TestDestination(t *testing.T) {
	suite := func(start func(t *testing.T) sftptest.Endpoint) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			e := start(t)
			storetest.Destination(t, func(t *testing.T) storetest.Place { return uploadSetup(t, e) })
		}
	}
	t.Run("OpenSSH", suite(func(t *testing.T) sftptest.Endpoint {
		return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	}))
	t.Run("ProFTPD", suite(func(t *testing.T) sftptest.Endpoint {
		return sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}).Endpoint
	}))
	for name, f := range refusing() {
		t.Run(name, suite(func(t *testing.T) sftptest.Endpoint { return faulty(t, f).Endpoint }))
	}
}

// uploadSetup is a new directory on a server, for the contract suite.
func uploadSetup(t *testing.T, e sftptest.Endpoint) storetest.Place {
	t.Helper()
	top, err := os.MkdirTemp(e.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := byKey(e)
	cfg.Root = filepath.Join(top, "place")
	open := func(owner string) func(t *testing.T) filesync.Destination {
		return func(t *testing.T) filesync.Destination {
			cfg := cfg
			cfg.Owner = pending.NewOwner(owner, "c", 0)
			d := openDestination(t, cfg)
			if err := d.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	return storetest.Place{Open: open("0badcafe"), OtherOwner: open("5eaf00d5"), Dir: cfg.Root, ByPath: true}
}
