package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/share"
)

// TestSpaces reads a file of Spaces alone.
func TestSpaces(t *testing.T) {
	c := loadGood(t, "spaces.yaml")
	first, second := c.Spaces["us_sp_123"], c.Spaces["B"]
	for what, values := range map[string][2]any{
		"a key from a file":    {c.SpaceServer.SecretKeys[1].Key.Reveal(), "sk_fedcba9876543210"},
		"a name":               {first.Name, "us_sp_123"},
		"a size":               {first.MaximumFileSize, Size(1e9)},
		"a default word":       {first.SameName, ReplaceSameName},
		"a default time":       {first.Retention, Duration(90 * 24 * time.Hour)},
		"a key line":           {len(first.PublicKeys), 1},
		"a local directory":    {filepath.IsAbs(first.DestinationDirectoryPath), true},
		"a share":              {second.DestinationDirectoryPath, "smb://files.example.com/results"},
		"its password":         {second.SystemPassword.Reveal(), "from a file"},
		"a word":               {second.SameName, KeepBoth},
		"the server's size":    {second.MaximumFileSize, Size(0)},
		"uploads are received": {c.SpaceServer.Enabled(), true},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: got %v, want %v", what, values[0], values[1])
		}
	}
}

func TestUploads(t *testing.T) {
	c := loadGood(t, "uploads.yaml")
	dir, err := filepath.Abs("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	written, fetched := c.Connectors["written"], c.Connectors["fetched"]
	for what, values := range map[string][2]any{
		"the source is here":          {written.Files.SourceDirectoryPath, filepath.Join(dir, "outgoing")},
		"the destination is there":    {written.Files.DestinationDirectoryPath, "in/results"},
		"a direct name":               {written.Files.UploadName, UploadDirect},
		"a move from the source on":   {written.Files.AfterCopy.MoveTo, "../sent"},
		"a default name":              {fetched.Files.UploadName, UploadPending},
		"a move to a whole path":      {fetched.Files.AfterCopy.MoveTo, "/srv/sent"},
		"a whole path":                {fetched.Files.SourceDirectoryPath, "/srv/outgoing"},
		"a fetched login":             {fetched.SFTP.CredentialsAPI.Enabled(), true},
		"its key":                     {fetched.SFTP.CredentialsAPI.SecretKey.Reveal(), "sk_plain"},
		"empty keys fetch nothing":    {c.Connectors["nothing-fetched"].SFTP.CredentialsAPI.Enabled(), false},
		"which way written goes":      {written.Uploads(), true},
		"which way the default goes":  {c.Connectors["nothing-fetched"].Uploads(), false},
		"known_hosts is where it was": {fetched.SFTP.KnownHostsPath, filepath.Join(dir, "data", "known_hosts")},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: got %v, want %v", what, values[0], values[1])
		}
	}
}

func TestShares(t *testing.T) {
	for name, want := range map[string]share.Target{
		"unc":        {Host: "files.example.com", Share: "results$", Directory: "a b"},
		"unc-quoted": {Host: "192.0.2.1", Share: "results"},
		"url":        {Host: "files.example.com", Share: "results", Directory: "in"},
		"url-port":   {Host: "2001:db8::1", Port: 1445, Share: "results", Directory: "100%"},
	} {
		files := loadGood(t, "shares.yaml").Connectors[name].Files
		got, err := share.Parse(files.DestinationDirectoryPath)
		if err != nil || got != want || !Share(files.DestinationDirectoryPath, files.SystemUsername) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, path := range []string{"", "/srv/results", "results", "smb:", "a/b://c", "c://d", `a\\b`} {
		if Share(path, "collector") {
			t.Errorf("%q is taken for a share", path)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, test := range []struct {
		outer, inner string
		want         bool
	}{
		{"/a", "/a", true}, {"/a", "/a/b", true}, {"/", "/a", true}, {"/a", "/ab", false}, {"/a/b", "/a", false},
		{"smb://h/s", `\\H\S\x`, true}, {"smb://h/s", "smb://h:445/s/x", true}, {"smb://h/s", "smb://h:1445/s/x", false}, {"smb://h/s", "smb://h/s2", false},
		{"/", "smb://h/s", false}, {"/h", `\\h\s`, false},
	} {
		if got := holds(test.outer, test.inner); got != test.want {
			t.Errorf("%s holds %s: %v", test.outer, test.inner, got)
		}
	}
}

func TestSameAddress(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:2022", "127.0.0.1:2022", true}, {"127.0.0.1:2022", "localhost:2022", true}, {"0.0.0.0:2022", "192.0.2.1:2022", true}, {"192.0.2.1:2022", "[::]:2022", true},
		{"127.0.0.1:0", "127.0.0.1:0", false}, {"127.0.0.1:2022", "127.0.0.1:2023", false}, {"127.0.0.1:2022", "192.0.2.1:2022", false}, {"127.0.0.1:2022", "", false},
	} {
		if got := sameAddress(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
}

// TestSpacesEqual changes every field of a Space and of their server in turn.
func TestSpacesEqual(t *testing.T) {
	space := func() *Space { return loadGood(t, "spaces.yaml").Spaces["us_sp_123"] }
	if changed := changeEach(t, space, (*Space).Equal); changed != 9 || !space().Equal(space()) || space().Equal(nil) || !(*Space)(nil).Equal(nil) {
		t.Errorf("%d fields of a Space were changed", changed)
	}
	server := func() *SpaceServer { return &loadGood(t, "spaces.yaml").SpaceServer }
	equal := func(a, b *SpaceServer) bool { return a.Equal(*b) }
	if changed := changeEach(t, server, equal); changed != 10 || !equal(server(), server()) {
		t.Errorf("%d fields of the server were changed", changed)
	}
}

// TestSpaceListen: any address will do, as every login needs a credential.
func TestSpaceListen(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:2022", "[::]:2022", ":2022", "sftp.example.com:2022"} {
		parse(t, "space_server: {listen: '"+address+"', public_host: sftp.example.com}\nspaces: {a: {destination_directory_path: a}}\n")
	}
	for _, address := range []string{"2022", "127.0.0.1", "127.0.0.1:ssh", "127.0.0.1:65536", "a b:2022", "http://a:2022"} {
		_, err := Parse("c.yaml", []byte("space_server: {listen: '"+address+"', public_host: sftp.example.com}\nspaces: {a: {destination_directory_path: a}}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), "such as 127.0.0.1:2022") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
