package smb_test

import (
	"strings"
	"testing"

	"sftpconnector/store/smb"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]smb.Target{
		`\\server\share`:                           {Host: "server", Share: "share"},
		`\\server\share\`:                          {Host: "server", Share: "share"},
		`\\server\share\dir\sub`:                   {Host: "server", Share: "share", Directory: "dir/sub"},
		`\\server.example.com\share$\My Dir\\x\`:   {Host: "server.example.com", Share: "share$", Directory: "My Dir/x"},
		`//server/share/dir`:                       {Host: "server", Share: "share", Directory: "dir"},
		`\\10.0.0.1\share/dir`:                     {Host: "10.0.0.1", Share: "share", Directory: "dir"},
		`\\?\UNC\server\share\dir`:                 {Host: "server", Share: "share", Directory: "dir"},
		`smb://server/share`:                       {Host: "server", Share: "share"},
		`SMB://server:4450/share/dir/sub/`:         {Host: "server", Port: 4450, Share: "share", Directory: "dir/sub"},
		`smb://[::1]:4450/share`:                   {Host: "::1", Port: 4450, Share: "share"},
		`smb://[fe80::1]/share/@home`:              {Host: "fe80::1", Port: 445, Share: "share", Directory: "@home"},
		`smb://server/my%20share/100%25/%E2%82%AC`: {Host: "server", Share: "my share", Directory: "100%/€"},
		`smb://server/share/a b/ä`:                 {Host: "server", Share: "share", Directory: "a b/ä"},
	} {
		got, err := smb.Parse(path)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", path, got, err, want)
		}
		if again, err := smb.Parse(got.String()); err == nil && again.Directory != got.Directory {
			t.Errorf("%s is shown as %s", path, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for path, says := range map[string]string{
		``:                                   "written",
		`/srv/share`:                         "written",
		`C:\share`:                           "written",
		`\\`:                                 "written",
		`\\server`:                           "share is missing",
		`\\server\`:                          "share is missing",
		`\\?\C:\dir`:                         "written",
		`\\server:4450\share`:                "without a port",
		`\\user@server\share`:                "user or a password",
		`\\server\IPC$`:                      "IPC$",
		`\\server\sh|are`:                    "name of a share",
		`\\server\share\..\x`:                "..",
		`\\server\share\a\.\b`:               "..",
		`\\server\share\CON`:                 "device",
		`smb://`:                             "written",
		`smb:///share`:                       "written",
		`smb://server`:                       "share is missing",
		`smb://server:0/share`:               "port",
		`smb://server:66000/share`:           "port",
		`smb://server:/share`:                "port",
		`smb://user@server/share`:            "user or a password",
		`smb://user:hidden@server/share`:     "user or a password",
		`smb://DOM;user:hidden@server/share`: "user or a password",
		`smb://user:hid/den@server/share`:    "user or a password",
		`smb://user:hid%zz@server/share`:     "user or a password",
		`smb://server/share/a?hidden`:        "%3F",
		`smb://server/share/%zz`:             "%25",
		`smb://server/share/a%2F..%2Fb`:      "..",
		`smb://server/share/a%5Cb`:           `\`,
		`smb://server/share/a%00b`:           "control",
		`smb://ser ver/share`:                "written",
	} {
		_, err := smb.Parse(path)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hid") {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{`\\s\h\d`, `smb://s:1/h/d%20e`, `smb://u:p@s/h`, `\\?\UNC\s\h`, `//[::1]/x`} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := smb.Parse(path)
		if err != nil {
			return
		}
		if got.Host == "" || got.Share == "" || strings.ContainsAny(got.Share, `/\@:`) && !strings.Contains(got.Share, "@") {
			t.Errorf("%q: %+v", path, got)
		}
		if got.Directory != "" && smb.Refuses(got.Directory) {
			t.Errorf("%q: the directory %q cannot be", path, got.Directory)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"x", "x.csv", ".x", "..x", "a b", " x", "ä€\U0001f4c8", "CONSOLE", "con1", "COM", "COM10", "COM0.txt", "lpt", "auxiliary.txt", "x.con", "nul_", "a;b=c,d+[e]{f}'~!@#$%^&()-_`",
		"a/b/c.csv", strings.Repeat("x", 255), strings.Repeat("ä", 255), strings.Repeat("\U0001f4c8", 127),
	} {
		if smb.Refuses(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{
		"", "/x", "x/", "a//b", ".", "..", "a/../b", "./x", "a:b", "a<b", "a>b", `a"b`, "a|b", "a?b", "a*b", `a\b`, "a\x00b", "a\x1fb", "tab\t",
		"x.", "x ", "x. ", "x../y", "a /b", "CON", "con", "Aux.txt", "nul.tar.gz", "COM1", "com9.x", "LPT¹", "prn .txt", "CONIN$", "dir/CON", "CON/x", "\xff",
		strings.Repeat("x", 256), strings.Repeat("\U0001f4c8", 128),
	} {
		if !smb.Refuses(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ user, domain, wantUser, wantDomain string }{
		{"user", "", "user", ""},
		{"user", "CORP", "user", "CORP"},
		{`CORP\user`, "", "user", "CORP"},
		{`CORP\user`, "OTHER", "user", "CORP"},
		{`.\user`, "", "user", ""},
		{"user@corp.example.com", "", "user", "corp.example.com"},
		{"user@mail@corp", "", "user@mail", "corp"},
		{"user@mail", "CORP", "user@mail", "CORP"},
		{"@user", "", "@user", ""},
	} {
		user, domain := smb.Login(smb.Config{Username: c.user, Domain: c.domain})
		if user != c.wantUser || domain != c.wantDomain {
			t.Errorf("%q of %q is %q of %q", c.user, c.domain, user, domain)
		}
	}
}
