package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

// Load reads the configuration file at path, with variables from the process's
// environment. Its error is an Errors when the file could be read and has mistakes.
func Load(path string) (*Config, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, os.LookupEnv)
}

// Parse reads a configuration from text. file is its name, for errors and as the
// place where relative paths start; it is not opened, but the files that hold
// secrets are. env looks a variable up; nil knows none. All mistakes of the
// text are reported together: the error is then an Errors.
func Parse(file string, text []byte, env func(string) (string, bool)) (*Config, error) {
	c, _, err := readAll(file, text, env)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// LoadServer reads what a program needs to reach the daemon of the configuration file
// at path: the data directory, and its server's tokens and certificate. Its error is
// that of Load, for the whole file. With an Errors it gives what has no mistake all
// the same: the data directory is "" if that is not known, and a token's secret is "".
func LoadServer(path string) (dataDirectory string, server Server, err error) {
	text, err := read(path)
	if err != nil {
		return "", Server{}, err
	}
	c, top, err := readAll(path, text, os.LookupEnv)
	if c == nil || top.bad || top.at("data_directory").bad {
		return "", Server{}, err
	}
	return c.DataDirectory, c.Server, err
}

func read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return text, nil
}

// readAll is Parse. With an Errors it gives what it could read, and where that stands.
func readAll(file string, text []byte, env func(string) (string, bool)) (*Config, *place, error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the configuration %s: %w", file, err)
	}
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	found := &report{file: file}
	root := parseYAML(text, found)
	if root == nil {
		return nil, nil, found.sorted()
	}
	c := new(Config)
	c.setDefaults()
	top := &place{report: found, line: 1}
	dir := filepath.Dir(absolute)
	(&decoder{dir: dir, env: env}).value(root, reflect.ValueOf(c).Elem(), top)
	c.complete(dir, top)
	c.validate(top)
	if len(found.errors) > 0 {
		return c, top, found.sorted()
	}
	return c, top, nil
}
