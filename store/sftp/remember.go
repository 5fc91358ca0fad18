package sftp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/skeema/knownhosts"
)

// errOtherKey: the host got another key from someone else meanwhile.
var errOtherKey = errors.New("another key was remembered for this host meanwhile")

// learn appends the key of a host that has none yet.
func learn(ctx context.Context, path string, k HostKey) error {
	return editKnownHosts(ctx, path, func(data []byte) ([]byte, error) {
		known, err := readKnownHosts(path) // another connector may have come first
		if err != nil {
			return nil, err
		}
		switch verdict, why := known.judge(k.Addr, k.key); verdict {
		case keyKnown:
			return data, nil
		case keyUnknown:
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
	}
	return err
}

// appendKey adds the host's line at the end.
func appendKey(data []byte, k HostKey) []byte {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return append(data, knownhosts.Line([]string{k.Addr}, k.key)+"\n"...)
}

// replaceKey removes the host's other keys and adds this one.
func replaceKey(data []byte, k HostKey) []byte {
	host := knownhosts.Normalize(k.Addr)
	blob := base64.StdEncoding.EncodeToString(k.key.Marshal())
	var kept []byte
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) < 3 || fields[0][0] == '#' || fields[0][0] == '@' || !namesHost(fields[0], host) {
			kept = append(kept, line...)
			continue
		}
		if fields[2] == blob {
			return data
		}
		if others := withoutHost(fields[0], host); others != "" {
			fields[0] = others
			kept = append(kept, strings.Join(fields, " ")+"\n"...)
		}
	}
	return appendKey(kept, k)
}

// namesHost tells whether the first field of a line names the host itself; a
// wildcard that only covers it does not count.
func namesHost(field, host string) bool {
	if field[0] == '|' {
		matches, ok := hashedHost(field)
		return ok && matches(host)
	}
	return withoutHost(field, host) != field
}

// withoutHost takes the host out of a list of names.
func withoutHost(field, host string) string {
	if field[0] == '|' {
		return ""
	}
	var others []string
	for name := range strings.SplitSeq(field, ",") {
		if !strings.EqualFold(knownhosts.Normalize(name), host) {
			others = append(others, name)
		}
	}
	return strings.Join(others, ",")
}
