package share_test

import (
	"strings"
	"testing"

	"sftpconnector/share"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]share.Target{
		`\\server\share`:                           {Host: "server", Share: "share"},
		`\\server\share\`:                          {Host: "server", Share: "share"},
		`\\server\share\dir\sub`:                   {Host: "server", Share: "share", Directory: "dir/sub"},
		`\\server.example.com\share$\My Dir\x\`:    {Host: "server.example.com", Share: "share$", Directory: "My Dir/x"},
		`//server/share/dir`:                       {Host: "server", Share: "share", Directory: "dir"},
		`\\10.0.0.1\share/dir`:                     {Host: "10.0.0.1", Share: "share", Directory: "dir"},
		`\\?\UNC\server\share\dir`:                 {Host: "server", Share: "share", Directory: "dir"},
		`smb://server/share`:                       {Host: "server", Share: "share"},
		`SMB://server:4450/share/dir/sub/`:         {Host: "server", Port: 4450, Share: "share", Directory: "dir/sub"},
		`smb://[::1]:4450/share`:                   {Host: "::1", Port: 4450, Share: "share"},
		`smb://[fe80::1]/share/@home`:              {Host: "fe80::1", Share: "share", Directory: "@home"},
		`smb://server/my%20share/100%25/%E2%82%AC`: {Host: "server", Share: "my share", Directory: "100%/€"},
		`smb://server/share/a b/ä`:                 {Host: "server", Share: "share", Directory: "a b/ä"},
	} {
		got, err := share.Parse(path)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", path, got, err, want)
		}
		if again, err := share.Parse(got.String()); err == nil && again.Directory != got.Directory {
			t.Errorf("%s is shown as %s", path, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for path, says := range map[string]string{
		``:                                    "not the address",
		`/srv/share`:                          "not the address",
		`C:\share`:                            "not the address",
		`\\`:                                  "no valid server",
		`\\\share`:                            "no valid server",
		`\\.\share`:                           "no valid server",
		`\\ser*er\share`:                      "no valid server",
		`\\server`:                            "no share",
		`\\server\`:                           "no share",
		`\\?\C:\dir`:                          "no valid server",
		`\\?\UNC\`:                            "no valid server",
		`\\server:4450\share`:                 "no valid server",
		`\\user@server\share`:                 "no valid server",
		`\\server\IPC$`:                       "IPC$",
		`smb://server/ipc$/x`:                 "IPC$",
		`\\server\sh|are`:                     "share can hold",
		`\\server\a+b`:                        "share can hold",
		`\\server\share.\x`:                   "share can hold",
		`\\server\` + strings.Repeat("s", 81): "longer than 80",
		`\\server\share\..\x`:                 "..",
		`\\server\share\a\.\b`:                "..",
		`\\server\share\CON`:                  "CON is a device",
		`smb://server/share/con`:              "CON is a device",
		`\\server\share\\dir`:                 "empty part",
		`\\server\share\\`:                    "empty part",
		`smb://server/share//dir`:             "empty part",
		`\\server\share\in.`:                  "a dot",
		`\\server\share\in \x`:                "a space",
		`smb://server/share/` + strings.Repeat("n", 256): "longer than 255",
		`smb://server/share/%FF`:                         "UTF-8",
		`smb://`:                                         "no valid server",
		`smb:///share`:                                   "no valid server",
		`smb://[fe80::1%25eth0]/share`:                   "no valid server",
		`smb://server`:                                   "no share",
		`smb://server:0/share`:                           "port",
		`smb://server:0445/share`:                        "port",
		`smb://server:66000/share`:                       "port",
		`smb://server:/share`:                            "port",
		`smb://user@server/share`:                        "has a user",
		`smb://user:hidden@server/share`:                 "has a user",
		`smb://DOM;user:hidden@server/share`:             "has a user",
		`smb://user:hid/den@server/share`:                "not a URL",
		`smb://user:hid%zz@server/share`:                 "not a URL",
		`smb://server/share/a?hidden`:                    "%23",
		`smb://server/share/a#hidden`:                    "%23",
		`smb://server/share/%zz`:                         "%25",
		`smb://server/share/a%2F..%2Fb`:                  "..",
		`smb://server/share/a%5Cb`:                       `\`,
		`smb://server/share/a%00b`:                       "control",
		`smb://ser ver/share`:                            "not a URL",
		`cifs://server/share`:                            "not the address",
	} {
		_, err := share.Parse(path)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hid") {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}

// FuzzParse: what is taken for a share has a server and names below it that stay
// there, means the same when it is read as it is shown, and what is refused is
// not repeated.
func FuzzParse(f *testing.F) {
	for _, path := range []string{
		`\\s\h\d`, `smb://s:1/h/d%20e`, `smb://u:p@s/h`, `\\?\UNC\s\h`, `//[::1]/x`, `\\server\share\a b\`, `\\server`, `\\\`, "SMB://[::1]:445/s/%20/",
		"smb://u:horse@h/s", "smb://h:0/s", "smb://h/..", "smb://h/%2e%2e", "smb://h/a%2fb", "smb://h/a%5cb", "smb://h/a%00", "smb:///s", "cifs://h/s",
		"smb://h/s?q", "smb://h/s#f", "smb://%zz", "smb://[x]/s",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := share.Parse(path)
		if err != nil {
			if strings.Contains(err.Error(), "horse") {
				t.Errorf("%q is in %q", path, err)
			}
			return
		}
		if got.Host == "" || got.Share == "" || strings.ContainsAny(got.Share, `/\:`) {
			t.Errorf("%q: %+v", path, got)
		}
		for name := range strings.SplitSeq(got.Directory, "/") {
			if got.Directory != "" && share.CheckName(name) != nil {
				t.Errorf("%q: the directory %q cannot be", path, got.Directory)
			}
		}
		if again, err := share.Parse(got.String()); got.Port == 0 && (err != nil || again != got) {
			t.Errorf("%q is shown as %s, which is %+v, %v", path, got, again, err)
		}
	})
}
