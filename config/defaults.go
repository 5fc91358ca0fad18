package config

import (
	"errors"
	"path/filepath"
	"strings"
	"time"
)

func (c *Config) setDefaults() {
	c.DataDirectory = "./data"
	c.Server.Listen = "127.0.0.1:8022"
	c.Server.ReplyToAllow = []string{"http://127.0.0.1:*"}
	c.SpaceServer = SpaceServer{
		MaximumFileSize: 100e6, InboxQuota: 10e9,
		Connections: 200, ConnectionsSpace: 20, IdleTimeout: Duration(10 * time.Minute),
	}
}

func (s *Space) setDefaults() {
	s.SameName = ReplaceSameName
	s.Retention = Duration(90 * day)
}

func (c *Connector) setDefaults() {
	c.Direction = Download
	c.SFTP.Port = 22
	c.SFTP.Authentication = Credentials
	c.SFTP.HostKey = HostKey{HostKeyKnownHosts}
	c.Files.Include = []string{"**"}
	c.Files.Settle = Duration(5 * time.Second)
	c.Files.Symlinks = FollowSymlinks
	c.Files.AfterCopy = AfterCopy{Action: Leave}
	c.Files.OnConflict = FailOnConflict
	c.Files.UploadName = UploadPending
	c.Files.Layout = Tree
	c.Files.NameEncoding = UTF8
	c.Sync = Schedule{Text: notApplicable}
	c.TimeZone = TimeZone{time.UTC}
	c.InterApp = InterApp{
		RequestClass: "GetFilesRequest", ReplyClass: "GetFilesResponse",
		Properties: InterAppProperties{
			FileNameFilter: "fileNameFilter", FileTimeFrom: "fileTimeFrom", FileTimeTo: "fileTimeTo", Timeout: "timeout",
			Success: "success", Description: "description", FileNames: "fileNames", DestinationDirectoryPath: "destinationDirectoryPath",
		},
	}
	c.Retention = Duration(90 * day)
}

// complete makes the local paths absolute, below dir, and fills in what follows
// from other keys.
func (c *Config) complete(dir string, top *place) {
	complete(dir, &c.DataDirectory, top.at("data_directory"))
	tls := top.at("server", "tls")
	complete(dir, &c.Server.TLS.Certificate, tls.at("certificate"))
	complete(dir, &c.Server.TLS.Key, tls.at("key"))
	for _, name := range names(c.Connectors, top.at("connectors")) {
		connector := c.Connectors[name]
		connector.Name = name
		at := top.at("connectors", name)
		complete(dir, &connector.SFTP.KeyPairsPath, at.at("sftp", "key_pairs_path"))
		complete(dir, &connector.SFTP.JumpKeyPairsPath, at.at("sftp", "proxy_jump_key_pairs_path"))
		complete(dir, &connector.SFTP.KnownHostsPath, at.at("sftp", "known_hosts_path"))
		if connector.SFTP.KnownHostsPath == "" {
			connector.SFTP.KnownHostsPath = filepath.Join(c.DataDirectory, "known_hosts")
		}
		connector.completeFiles(dir, at.at("files"))
	}
	for _, name := range names(c.Spaces, top.at("spaces")) {
		space := c.Spaces[name]
		space.Name = name
		completeTarget(dir, &space.DestinationDirectoryPath, top.at("spaces", name, "destination_directory_path"))
	}
}

// completeFiles makes the paths of the local end absolute. A relative directory of
// after_copy starts at the source directory, in either direction.
func (c *Connector) completeFiles(dir string, at *place) {
	if !c.Uploads() {
		completeTarget(dir, &c.Files.DestinationDirectoryPath, at.at("destination_directory_path"))
		return
	}
	complete(dir, &c.Files.SourceDirectoryPath, at.at("source_directory_path"))
	if to := &c.Files.AfterCopy.MoveTo; filepath.IsAbs(*to) || strings.HasPrefix(*to, "/") || filepath.VolumeName(*to) != "" {
		complete(dir, to, at.at("after_copy"))
	}
}

// completeTarget is complete for a path that may be a share.
func completeTarget(dir string, path *string, at *place) {
	switch {
	case isShare(*path):
	case strings.HasPrefix(*path, `\`) && filepath.Separator == '/':
		at.refuse(`starts with one \, as \\ is one in double quotes; allowed: '\\server\share\directory' in single quotes`)
	default:
		complete(dir, path, at)
	}
}

// complete makes a local path absolute.
func complete(dir string, path *string, at *place) {
	if *path == "" {
		return
	}
	if isShare(*path) && !plainUNC(*path) {
		at.fail(onlyLocal)
		return
	}
	resolved, err := resolve(dir, *path)
	if err != nil {
		at.refuse("%v", err)
		return
	}
	*path = resolved
}

// resolve makes a path of the file absolute: a relative one starts at dir. On
// Windows, so does \dir at dir's drive; C:dir has no certain meaning.
func resolve(dir, path string) (string, error) {
	switch {
	case strings.ContainsRune(path, 0):
		return "", errors.New("holds a NUL character; allowed: a path")
	case path == "~" || strings.HasPrefix(path, "~/") || strings.HasPrefix(path, `~\`):
		return "", errors.New("~ is not expanded; write the home directory out, or use ${HOME}")
	case filepath.IsAbs(path):
		return filepath.Clean(path), nil
	case filepath.VolumeName(path) != "":
		return "", errors.New(`a drive needs a whole path; allowed: C:\dir or the like`)
	case filepath.VolumeName(dir) != "" && strings.ContainsAny(path[:1], `/\`):
		return filepath.Clean(filepath.VolumeName(dir) + path), nil
	}
	return filepath.Join(dir, path), nil
}
