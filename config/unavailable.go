package config

import (
	"reflect"
	"runtime"
	"strings"
)

// What the configuration format has and this version of the program does not
// serve yet stands in this file only.

// laterKey reports whether a key of t is known but not served.
func laterKey(t reflect.Type, key string) bool {
	switch t {
	case reflect.TypeFor[Config]():
		return key == "space_server" || key == "spaces"
	case reflect.TypeFor[SFTP]():
		return key == "credentials_api"
	case reflect.TypeFor[Files]():
		return key == "upload_name"
	}
	return false
}

// UnmarshalText reads one of the directions. It takes upload, for refuseLater to
// name the real reason, but does not offer it.
func (d *Direction) UnmarshalText(text []byte) error {
	if string(text) == string(Upload) {
		*d = Upload
		return nil
	}
	return choose(d, text, Download)
}

// refuseLater reports values that are well-formed and not served.
func (c *Config) refuseLater(top *place) {
	for _, name := range c.names(top.at("connectors")) {
		connector := c.Connectors[name]
		at := top.at("connectors", name)
		if connector.Direction == Upload {
			at.at("direction").fail("upload is not available in this version; allowed: download")
		}
		files := at.at("files")
		if isShare(connector.Files.DestinationDirectoryPath) {
			files.at("destination_directory_path").fail("network shares are not available in this version; allowed: a local directory")
		}
		if connector.Files.SystemUsername != "" {
			files.at("system_username").fail("it is for network shares, which are not available in this version; allowed: \"\"")
		}
		if connector.Files.SystemPassword != "" {
			files.at("system_password").fail("it is for network shares, which are not available in this version; allowed: \"\"")
		}
	}
}

// isShare reports whether a destination is a network share: \\server\share or
// smb://server/share.
func isShare(path string) bool {
	return strings.HasPrefix(path, `\\`) ||
		len(path) >= 6 && strings.EqualFold(path[:6], "smb://") ||
		runtime.GOOS == "windows" && strings.HasPrefix(path, "//")
}
