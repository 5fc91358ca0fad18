package smb_test

import (
	"testing"

	"sftpconnector/store/smb"
)

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
