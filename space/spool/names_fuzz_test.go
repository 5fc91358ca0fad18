package spool

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPaths: a path that a client sends leads to a name below the inbox that a pass
// takes, is none of the server's own, and stays the same; or it is refused.
func FuzzPaths(f *testing.F) {
	for _, text := range []string{
		"/a/b", "../../etc/passwd", "//a//b/", "/.uploading.x", "/.Uploading.X/y", "/.later.1.x", `/a\b`, "/a\x00b", "/\xff", "/" + strings.Repeat("a", 255), strings.Repeat("/a", 65), "", ".", "/CON", "/a:b", "/a ", "/..a",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := clean(text)
		if err != nil {
			if name != "" {
				t.Errorf("%q is refused, and is %q", text, name)
			}
			return
		}
		if again, err := clean("/" + name); again != name || err != nil {
			t.Errorf("%q is %q, and that %q, %v", text, name, again, err)
		}
		if name == "" {
			return
		}
		if !filepath.IsLocal(name) || len(name) > maxPath || isUnsafe(name) || strings.IndexByte(name, 0) >= 0 {
			t.Errorf("%q is taken for %q", text, name)
		}
		for base := range strings.SplitSeq(name, "/") {
			if isReserved(base) || len(reserved+base) > 255 {
				t.Errorf("%q is taken for %q, which has a name of the server's own", text, name)
			}
		}
	})
}
