package main

import (
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

// Both pages in one: a connector fetches files from an SFTP server, another one
// uploads them to a Space of a second daemon, with a login that it fetches, and
// that one imports them. The login is revoked in the middle.
func TestFromAServerByWayOfASpace(t *testing.T) {
	t.Parallel()
	const key = "sk_123_a_secret_key_of_the_api"
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	files := []string{"a.csv", "alpha", "day/empty.csv", "", "day/two words.csv", "beta", "big.bin", strings.Repeat("0123456789abcdef", 256<<10)}
	for i := 0; i < len(files); i += 2 {
		put(t, server.Root, files[i], files[i+1], old)
	}
	k := newDock(t, "secret_keys: [{name: ops, key: "+key+", spaces: [us_sp_123]}]", spaces{"us_sp_123": "same_name: keep-both"})
	s := newSite(t, `connectors:
  results:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./outgoing}
    automatic_sftp_file_sync: 1s
  outgoing:
    direction: upload
    sftp:
      credentials_api: {url: %q, secret_key: %s, space_id: us_sp_123}
      host_key: accept-new
    files: {source_directory_path: ./outgoing, destination_directory_path: ., after_copy: delete, settle: 1s, bandwidth_limit: 1MB/s}
    automatic_sftp_file_sync: 1s
`, login(server.Endpoint), server.Root, k.url()+"/v1/auth/sftp-credentials", key)
	r := s.daemon()
	k.until("the large file is under way", func() bool {
		return progress(t, s, "outgoing") > 512<<10
	})
	api := k.operator()
	defer api.Close()
	if _, err := api.RevokeCredentials(t.Context(), "us_sp_123", ""); err != nil {
		t.Fatal(err)
	}
	k.imports("us_sp_123", files...)
	k.until("the originals are gone", func() bool {
		left, _ := filepath.Glob(s.path("outgoing/*.*"))
		return len(left) == 0
	})
	o := r.stop().gives(0)
	if n := strings.Count(k.d.stderr.String(), `msg="credentials fetched"`); n < 2 {
		t.Errorf("the login was fetched %d times", n)
	}
	if n := strings.Count(k.d.stderr.String(), `msg="file delivered" connector=spaces/us_sp_123 `); n != len(files)/2 {
		t.Errorf("%d files were told of, want %d", n, len(files)/2)
	}
	if strings.Contains(o.stderr+k.d.stderr.String(), key) {
		t.Error("the secret key is in a log")
	}
}
