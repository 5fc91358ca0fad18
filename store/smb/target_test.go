package smb_test

import (
	"strings"
	"testing"

	"sftpconnector/store/smb"
)

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
