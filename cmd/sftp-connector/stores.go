package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/space"
	"sftpconnector/sshclient"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp"
	"sftpconnector/store/smb"
	filesync "sftpconnector/sync"
)

// stores makes the stores that a connector's configuration asks for.
type stores struct {
	owner   string // the id of the ledger, for pending files
	servers *servers
	prompt  prompt        // nil: unknown keys are refused
	spaces  *space.Spaces // nil: there are none

	foldings *local.Foldings // of destinations
}

func (s stores) source(ctx context.Context, c *config.Connector, observe status.Observer) (connector.Source, error) {
	if c.Space != nil {
		return s.spaces.Source(c.Space.Name)
	}
	if c.Uploads() {
		src, err := local.OpenSource(c.Files.SourceDirectoryPath)
		if err != nil {
			return nil, err // not a nil *Source in an interface
		}
		return src, nil
	}
	var src *sftp.Source
	err := s.limitLogins(ctx, c, observe, func(ctx context.Context, cfg sftp.Config, observe status.Observer) (err error) {
		src, err = sftp.Open(ctx, cfg, observe)
		return err
	})
	if err != nil {
		return nil, err
	}
	return src, nil
}

func (s stores) destination(ctx context.Context, c *config.Connector, epoch int64, observe status.Observer) (filesync.Destination, error) {
	if c.Uploads() {
		return s.server(ctx, c, epoch, observe)
	}
	if config.Share(c.Files.DestinationDirectoryPath, c.Files.SystemUsername) {
		return s.share(ctx, c, epoch)
	}
	d, err := s.foldings.Open(c.Files.DestinationDirectoryPath, pending.NewOwner(s.owner, c.Name, epoch))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// server opens the destination of an upload.
func (s stores) server(ctx context.Context, c *config.Connector, epoch int64, observe status.Observer) (filesync.Destination, error) {
	var d *sftp.Destination
	err := s.limitLogins(ctx, c, observe, func(ctx context.Context, cfg sftp.Config, observe status.Observer) (err error) {
		cfg.Owner, cfg.Direct = pending.NewOwner(s.owner, c.Name, epoch), c.Files.UploadName == config.UploadDirect
		cfg.Overwrite = c.Files.OnConflict == config.OverwriteOnConflict
		d, err = sftp.OpenDestination(ctx, cfg, observe)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// share opens a destination on a network share.
func (s stores) share(ctx context.Context, c *config.Connector, epoch int64) (filesync.Destination, error) {
	target, err := smb.Parse(c.Files.DestinationDirectoryPath)
	if err != nil {
		return nil, &status.Error{Word: status.DestinationUnavailable, Op: "read files.destination_directory_path", Err: err}
	}
	d, err := smb.Open(ctx, smb.Config{
		Target: target, Username: c.Files.SystemUsername, Password: c.Files.SystemPassword.Reveal(),
		Owner: pending.NewOwner(s.owner, c.Name, epoch),
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// sftpConfig is what the store needs of a connector's configuration.
func sftpConfig(c *config.Connector) sftp.Config {
	cfg := sftp.Config{Config: sshclient.Config{
		Host: c.SFTP.Host, Port: c.SFTP.Port, Username: c.SFTP.Username,
		KeyPairs: c.SFTP.Authentication == config.KeyPairs, Both: c.SFTP.Authentication == config.Both,
		Agent:    c.SFTP.Authentication == config.Agent,
		Password: c.SFTP.Password.Reveal(), Answers: c.SFTP.InteractiveAnswers.Reveal(),
		KeyPath: c.SFTP.KeyPairsPath, KeyPassphrase: c.SFTP.KeyPairsPassphrase.Reveal(),
		HostKey: c.SFTP.HostKey.String(), KnownHosts: sshclient.KnownHostsFile(c.SFTP.KnownHostsPath),
		LegacyAlgorithms: c.SFTP.LegacyAlgorithms,
	},
		Root: c.Files.SourceDirectoryPath, Connections: c.SFTP.Connections,
		NameEncoding: c.Files.NameEncoding.Charset(),
	}
	if c.Uploads() {
		cfg.Root = c.Files.DestinationDirectoryPath
	}
	if user, host, port, ok := c.SFTP.Jump(); ok {
		cfg.Jump = &sshclient.Jump{Username: user, Host: host, Port: port, Password: c.SFTP.JumpPassword.Reveal(),
			KeyPath: c.SFTP.JumpKeyPairsPath, KeyPassphrase: c.SFTP.JumpPassphrase.Reveal()}
	}
	return cfg
}

// lockIn makes locks that keep other processes from running a pass of the same
// connector. The files stay; it is the lock on them that counts.
func lockIn(dir string) func(name string) (func(), error) {
	return func(name string) (func(), error) {
		path := filepath.Join(dir, name+".lock") // a Space's has a directory in its name
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("make lock directory: %w", err)
		}
		l := flock.New(path)
		ok, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock connector %s: %w", name, err)
		}
		if !ok {
			return nil, fmt.Errorf("connector %s: %w", name, connector.ErrBusy)
		}
		return func() { _ = l.Unlock() }, nil
	}
}
