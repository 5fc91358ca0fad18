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
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, text, os.LookupEnv)
}

// Parse reads a configuration from text. file is its name, for errors and as the
// place where relative paths start; it is not opened, but the files that hold
// secrets are. env looks a variable up; nil knows none. All mistakes of the
// text are reported together: the error is then an Errors.
func Parse(file string, text []byte, env func(string) (string, bool)) (*Config, error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration %s: %w", file, err)
	}
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	found := &report{file: file}
	root := parseYAML(text, found)
	if root == nil {
		return nil, found.sorted()
	}
	c := new(Config)
	c.setDefaults()
	top := &place{report: found, line: 1}
	dir := filepath.Dir(absolute)
	(&decoder{dir: dir, env: env}).value(root, reflect.ValueOf(c).Elem(), top)
	c.complete(dir, top)
	c.validate(top)
	if len(found.errors) > 0 {
		return nil, found.sorted()
	}
	return c, nil
}
