package connector_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sftpconnector/sshclient"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// served is the directory that a server serves.
type served struct {
	t *testing.T
	e sftptest.Endpoint
}

func (s served) Put(name, data string, mod time.Time) { put(s.t, s.e, name, []byte(data), mod) }

func (s served) Read(name string) (string, bool) {
	data, err := os.ReadFile(filepath.Join(s.e.Root, filepath.FromSlash(name)))
	return string(data), err == nil
}

func (s served) Link(name, target string) {
	to := "/etc"
	if target != "" {
		to = filepath.Join(s.e.Root, filepath.FromSlash(target))
	}
	if err := os.Symlink(to, filepath.Join(s.e.Root, filepath.FromSlash(name))); err != nil {
		s.t.Fatal(err)
	}
}

// The contract that passes rest on, on the real thing.
func TestSourceContract(t *testing.T) {
	storetest.Source(t, func(t *testing.T) (filesync.Source, storetest.Host) {
		e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
		src, err := sftp.Open(t.Context(), sftp.Config{
			Config: sshclient.Config{Host: e.Host, Port: e.Port, Username: e.User, KeyPairs: true, KeyPath: e.PrivateKeyPath, KnownHosts: sshclient.KnownHostsFile(e.KnownHosts)},
			Root:   e.Root,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return src, served{t, e}
	})
}
