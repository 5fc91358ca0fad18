package server

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// leftCursor is what the cursors of pages of files begin with that the last pass left.
const leftCursor = "l"

// leftPage gives a page of the files that the last pass has left in a state; ok is false
// where the ledger has them.
func leftPage(c *connector.Connector, in *filesInput) (page interapp.FilePage, ok bool) {
	state := filesync.State(in.State)
	if !slices.Contains([]filesync.State{filesync.StateWaiting, filesync.StateUnsafe, filesync.StateExcluded}, state) {
		return page, false
	}
	files, known := c.LeftFiles()
	if state == filesync.StateWaiting && !known {
		return page, false // what still changed when it was copied the ledger has, too
	}
	from, _ := strconv.Atoi(strings.TrimPrefix(in.Cursor, leftCursor))
	page.Files = []interapp.File{}
	matches := nameMatcher(in.Match)
	for i, f := range files {
		if i < from || f.State != in.State || !matches(f.Name) {
			continue
		}
		if len(page.Files) == in.Limit {
			page.Cursor = leftCursor + strconv.Itoa(i)
			break
		}
		page.Files = append(page.Files, f)
	}
	return page, true
}

// nameMatcher matches a part of a path, or all of it by a pattern with * and ?, as the
// ledger does.
func nameMatcher(text string) func(name string) bool {
	if !strings.ContainsAny(text, "*?") {
		return func(name string) bool { return strings.Contains(name, text) }
	}
	pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(text))
	whole, err := regexp.Compile("(?s)^" + pattern + "$")
	if err != nil { // it is no UTF-8
		return func(string) bool { return false }
	}
	return whole.MatchString
}
