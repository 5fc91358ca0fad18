package sshclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh/knownhosts"
)

// errOtherKey: the host got another key from someone else meanwhile.
var errOtherKey = errors.New("another key was remembered for this host meanwhile")

// addKnownHost appends the key of a host that has none yet.
func addKnownHost(ctx context.Context, hosts KnownHosts, k HostKey) error {
	return editKnownHosts(ctx, hosts, func(data []byte) ([]byte, error) {
		known := knownHosts{hosts.String(), data} // another connector may have come first
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

// Remember makes k the trusted key of its host: the host's other keys go, hashed lines
// included. Comments, lines with a marker, patterns with wildcards and other hosts stay
// as they are. A key that is there already changes nothing.
func Remember(ctx context.Context, hosts KnownHosts, k HostKey) error {
	if k.key == nil {
		return errors.New("remember host key: no key was fetched")
	}
	err := editKnownHosts(ctx, hosts, func(data []byte) ([]byte, error) {
		return replaceKey(data, k), nil
	})
	if err != nil {
		return fmt.Errorf("remember host key: %w", err)
	}
	return nil
}

func editKnownHosts(ctx context.Context, hosts KnownHosts, edit func([]byte) ([]byte, error)) error {
	if hosts == nil {
		return errors.New("no known_hosts file is configured")
	}
	return hosts.Edit(ctx, edit)
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
