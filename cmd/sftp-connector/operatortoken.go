package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"sftpconnector/config"
	"sftpconnector/durable"
)

// The operator's token lets people on the daemon's machine in: whoever may read the data
// directory. The verbs use it by themselves.

// minOperatorToken is the least length of an operator's token, in characters: what the
// daemon makes has 43.
const minOperatorToken = 32

func operatorTokenPath(dir string) string { return filepath.Join(dir, "operator.token") }

// makeOperatorToken gives the operator's token of a data directory. One that others may
// read, or that is too short to be one, is replaced; so is what is missing.
func makeOperatorToken(dir string) (config.Secret, error) {
	path := operatorTokenPath(dir)
	token, err := readOperatorToken(dir)
	if err == nil && token != "" {
		return token, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("replace the operator's token: %w", err)
	}
	b := make([]byte, 32)
	rand.Read(b)
	text := base64.RawURLEncoding.EncodeToString(b)
	if err := (durable.Document{Path: path, Mode: 0o600}).Create([]byte(text + "\n")); err != nil {
		return "", fmt.Errorf("make the operator's token: %w", err)
	}
	return config.Secret(text), nil
}

// readOperatorToken reads it: "" for one that is not fit, fs.ErrNotExist for none.
func readOperatorToken(dir string) (config.Secret, error) {
	path := operatorTokenPath(dir)
	info, err := os.Lstat(path)
	if err != nil {
		return "", fmt.Errorf("operator's token: %w", err)
	}
	if !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", nil
	}
	data, _, err := durable.Document{Path: path, Limit: 1 << 10}.Read()
	if err != nil {
		return "", fmt.Errorf("operator's token: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if len(text) < minOperatorToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", nil
	}
	return config.Secret(text), nil
}

// withOperator gives the settings of a server whose tokens include the operator's.
func withOperator(s config.Server, token config.Secret) config.Server {
	s.Tokens = append(slices.Clip(s.Tokens), config.Token{
		Name: config.OperatorToken, Token: token,
		Scopes: []config.Scope{config.ScopeRead, config.ScopeRequest, config.ScopeApply, config.ScopeConfigure},
	})
	return s
}
