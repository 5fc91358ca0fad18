package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"sftpconnector/config"
	"sftpconnector/config/edit"
)

// The connectors and the Space of the demo.
const (
	demoPull  = "trace-results"
	demoCron  = "archive"
	demoPush  = "outbox"
	demoFails = "vendor-down"
	demoSpace = "us_sp_demo"
)

// demoConfig is the configuration that a user would write for the demo, and the file
// that it is in: settings can be changed there, over the API and on the pages.
func demoConfig(dir string, srv *demoServer) (*config.Config, *configuration, error) {
	api, err := freePort()
	if err != nil {
		return nil, nil, failed(err)
	}
	nobody, err := freePort()
	if err != nil {
		return nil, nil, failed(err)
	}
	secret := "sk_" + rand.Text()
	text := fmt.Sprintf(`# The configuration of the demo. Try what you like: it goes when the demo ends.
data_directory: data
server:
  listen: 127.0.0.1:%[1]d

connectors:
  # Copies what appears at the server of the demo.
  %[2]s:
    sftp: {host: 127.0.0.1, port: %[6]d, username: %[7]s, password: %[8]s, host_key: %[9]q}
    files:
      source_directory_path: %[10]s
      destination_directory_path: copied
      settle: 1s
    automatic_sftp_file_sync: %[11]s

  # Copies the same to another directory, each minute.
  %[3]s:
    sftp: {host: 127.0.0.1, port: %[6]d, username: %[7]s, password: %[8]s, host_key: %[9]q}
    files:
      source_directory_path: %[10]s
      destination_directory_path: archive
    automatic_sftp_file_sync: "* * * * *"

  # Uploads to the Space of the demo, with a login that it fetches.
  %[4]s:
    direction: upload
    sftp:
      host_key: accept-new
      credentials_api: {url: "http://127.0.0.1:%[1]d/v1/auth/sftp-credentials", secret_key: %[12]s, space_id: %[13]s}
    files:
      source_directory_path: outbox
      destination_directory_path: /
      settle: 1s
    automatic_sftp_file_sync: %[11]s

  # Fails: nothing listens at this port. With %[6]d it works.
  %[5]s:
    sftp: {host: 127.0.0.1, port: %[14]d, username: %[7]s, password: %[8]s, host_key: %[9]q}
    files:
      source_directory_path: %[10]s
      destination_directory_path: vendor
    automatic_sftp_file_sync: %[11]s

space_server:
  listen: 127.0.0.1:0
  secret_keys: [{name: demo, key: %[12]s, spaces: [%[13]s]}]
spaces:
  %[13]s: {destination_directory_path: imported}
`, api, demoPull, demoCron, demoPush, demoFails, srv.port, demoUser, srv.password, srv.fingerprint, demoRoot, demoInterval, secret, demoSpace, nobody)
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, nil, failed(err)
	}
	cfg, version, _, err := loadVersion(&edit.File{Path: path})
	if err != nil {
		return nil, nil, failed(err)
	}
	return cfg, newConfiguration(path, version), nil
}

// freePort gives a port of loopback that nobody uses at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
