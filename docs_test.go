package sftpconnector_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	codeBlock    = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
)

// A link in the documents leads to a file that is there, and to a heading of it.
func TestLinksOfTheDocuments(t *testing.T) {
	t.Parallel()
	links := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range markdownLink.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
			if !strings.Contains(m[1], ":") {
				links++
				checkLink(t, name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 30 {
		t.Errorf("only %d links found: are they read right?", links)
	}
}

func checkLink(t *testing.T, from, link string) {
	t.Helper()
	to, anchor, _ := strings.Cut(link, "#")
	path := from
	if to != "" {
		path = filepath.Join(filepath.Dir(from), filepath.FromSlash(to))
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s: the link %s leads nowhere: %v", from, link, err)
		return
	}
	if anchor == "" {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
		if anchorOf(m[1]) == anchor {
			return
		}
	}
	t.Errorf("%s: the link %s leads to a heading that is not there", from, link)
}

// anchorOf is what GitHub makes of a heading.
func anchorOf(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
