package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// outcome is a line of the file of results.
type outcome struct {
	Name    string   `json:"name"`
	Text    string   `json:"text"` // a digest of the mutation: one that was changed runs anew
	Verdict verdict  `json:"verdict"`
	Noticed []string `json:"noticed,omitempty"` // tests that failed
	Seconds float64  `json:"seconds"`
}

// digest tells a mutation from what it was before somebody changed it.
func (m mutation) digest() string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{m.file, m.old, m.new}, m.tests...), "\x00")))
	return hex.EncodeToString(sum[:8])
}

// load reads the results of earlier runs, by the names of the mutations; none if
// there is no such file. Survivors and whatever went wrong are to be tried again.
func load(path string) (map[string]outcome, error) {
	done := map[string]outcome{}
	f, err := os.Open(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var o outcome
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			continue // the run was killed while it wrote
		}
		if delete(done, o.Name); o.Verdict == caught {
			done[o.Name] = o
		}
	}
	return done, lines.Err()
}

// save appends a result.
func save(path string, o outcome) error {
	if path == "" {
		return nil
	}
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n", line)
	return errors.Join(err, f.Close())
}
