package sshclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/crypto/ssh/knownhosts"

	"sftpconnector/durable"
)

// errOtherKey: the host got another key from someone else meanwhile.
var errOtherKey = errors.New("another key was remembered for this host meanwhile")

// addKnownHost appends the key of a host that has none yet.
func addKnownHost(ctx context.Context, path string, k HostKey) error {
	return editKnownHosts(ctx, path, func(data []byte) ([]byte, error) {
		known, err := readKnownHosts(path) // another connector may have come first
		if err != nil {
			return nil, err
		}
		switch verdict, why := known.judge(k.Addr, k.key); verdict {
		case keyKnown:
			return data, nil
		case keyUnknown, keyUncertified:
			return appendKey(data, k), nil
		default:
			return nil, fmt.Errorf("%w: %s", errOtherKey, why)
		}
	})
}

// Remember makes k the trusted key of its host in the known_hosts file: the
// host's other keys go, hashed lines included. Comments, lines with a marker,
// patterns with wildcards and other hosts stay as they are. The file is created
// with mode 0600 and replaced as a whole; concurrent calls, from other
// processes too, wait for each other. A key that is there already changes nothing.
func Remember(path string, k HostKey) error {
	if k.key == nil {
		return errors.New("remember host key: no key was fetched")
	}
	err := editKnownHosts(context.Background(), path, func(data []byte) ([]byte, error) {
		return replaceKey(data, k), nil
	})
	if err != nil {
		return fmt.Errorf("remember host key: %w", err)
	}
	return nil
}

// lockPatience bounds the wait for another process that edits the file.
const lockPatience = 10 * time.Second

// editKnownHosts replaces the file by what edit makes of it, under a lock
// beside it: a lock on the file itself would be lost with its replacement.
func editKnownHosts(ctx context.Context, path string, edit func([]byte) ([]byte, error)) error {
	if path == "" {
		return errors.New("no known_hosts file is configured")
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s.lock: %w", path, err)
	}
	defer lock.Close()

	data, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	edited, err := edit(data)
	if err != nil || bytes.Equal(edited, data) {
		return err
	}
	return replaceFile(path, edited)
}

// replaceFile gives path new contents, all or nothing.
func replaceFile(path string, data []byte) error {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".known_hosts-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return durable.SyncDirectory(filepath.Dir(path))
}

// appendKey adds the host's line at the end.
func appendKey(data []byte, k HostKey) []byte {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	name, _ := hostNames(k.Addr)
	return append(data, knownhosts.Line([]string{name}, k.key)+"\n"...)
}

// replaceKey removes the host's other keys and adds this one.
func replaceKey(data []byte, k HostKey) []byte {
	name, _ := hostNames(k.Addr)
	var kept []byte
	for text := range bytes.Lines(data) {
		line, ok := splitKnownLine(string(text))
		if !ok || line.marker != "" || !line.lists(name) {
			kept = append(kept, text...)
			continue
		}
		if line = line.parsed(); line.key != nil && sameKey(line.key, k.key) {
			return data
		}
		if others := withoutHost(line.hosts, name); others != "" {
			fields := strings.TrimRight(strings.Join([]string{others, line.keyType, line.blob, line.comment}, " "), " ")
			kept = append(kept, fields+"\n"...)
		}
	}
	return appendKey(kept, k)
}

// lists tells whether the line has the name itself; a wildcard that only
// covers it does not count.
func (l knownLine) lists(name string) bool {
	if l.hosts[0] == '|' {
		return l.names(name)
	}
	return withoutHost(l.hosts, name) != l.hosts
}

// withoutHost takes the host out of a list of names.
func withoutHost(field, name string) string {
	if field[0] == '|' {
		return ""
	}
	var others []string
	for n := range strings.SplitSeq(field, ",") {
		if !strings.EqualFold(knownhosts.Normalize(n), name) {
			others = append(others, n)
		}
	}
	return strings.Join(others, ",")
}
