package server

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"sftpconnector/config"
	"sftpconnector/config/edit"
)

// warnings says what to think of before the change is written.
func (c *changing) warnings(path string) []string {
	if c.becomes == nil || runtime.GOOS == "windows" { // which has no modes
		return []string{}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return []string{}
	}
	var keys []string // of the secrets that the change writes out
	has := c.becomes.Secrets()
	for _, key := range slices.Sorted(maps.Keys(c.entered)) {
		if _, ok := has[key]; ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return []string{}
	}
	instead := "${NAME} of its environment"
	if twin := twinOf(c.name, keys); twin != "" {
		instead += ", or " + twin + " with the path of a file"
	}
	return []string{fmt.Sprintf("Other users of the daemon's machine may read %s from %s (mode %04o): make the file its owner's alone with chmod 600, or write into it %s.",
		strings.Join(keys, ", "), path, info.Mode().Perm(), instead)}
}

// twinOf gives the key that names the file of the first of the secrets that can come
// from one; "" if none can.
func twinOf(connector string, secrets []string) string {
	for _, key := range secrets {
		twin := key + "_file"
		if kind, ok := config.KindOf(append([]string{edit.Connectors, connector}, config.PathOf(twin)...)...); ok && kind.Twin {
			return twin
		}
	}
	return ""
}
