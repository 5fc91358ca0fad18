package spool

import (
	"strings"

	"sftpconnector/interapp"
)

// Message gives a file of the inbox as the API tells it.
func (f File) Message() interapp.InboxFile {
	return interapp.InboxFile{
		Name: f.Name, State: string(f.State), Since: f.Since.UTC(), Size: f.Size, ModTime: interapp.TimeOrNull(f.ModTime),
	}
}

// Messages gives at most limit of the files that are in the state and match
// the name, and how many more there are. An empty state or name selects all.
// A name is a part of the path, or a pattern of the whole path with * and ?,
// which take '/' too.
func Messages(all []File, state, name string, limit int) (files []interapp.InboxFile, more int) {
	files = []interapp.InboxFile{}
	for _, f := range all {
		switch {
		case state != "" && state != string(f.State), !matches(name, f.Name):
		case len(files) == limit:
			more++
		default:
			files = append(files, f.Message())
		}
	}
	return files, more
}

// matches reports whether the path has the text in it, or is as a pattern with
// * and ? says.
func matches(pattern, path string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return strings.Contains(path, pattern)
	}
	p, s := []rune(pattern), []rune(path)
	at, star, tried := 0, -1, 0 // the last star, and where the pattern behind it was tried last
	for i := 0; i < len(s); {
		switch {
		case at < len(p) && p[at] == '*':
			star, tried = at, i
			at++
		case at < len(p) && (p[at] == '?' || p[at] == s[i]):
			at++
			i++
		case star >= 0:
			tried++
			at, i = star+1, tried
		default:
			return false
		}
	}
	return strings.Trim(string(p[at:]), "*") == ""
}
