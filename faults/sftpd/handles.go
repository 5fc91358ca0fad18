package sftpd

import (
	"errors"
	"os"
	"strconv"
)

var errNoHandle = errors.New("sftpd: no such handle, or too many")

// handle is an open file or directory.
type handle struct {
	file    *os.File
	path    string // from the top of what is served
	listed  bool   // "." and ".." were told
	append  bool
	changed bool   // written, created or cut off
	dropped uint32 // the status of CLOSE after a DropWrite, or 0
}

// handles are the open ones of a session, up to a limit. One goroutine uses them.
type handles struct {
	open  map[string]*handle
	limit int
	next  uint64
}

// add keeps an open file and gives its handle. It closes a file that is one too many.
func (h *handles) add(opened *handle) (string, error) {
	if len(h.open) >= h.limit {
		opened.file.Close()
		return "", errNoHandle
	}
	h.next++
	name := strconv.FormatUint(h.next, 10)
	h.open[name] = opened
	return name, nil
}

// addAs keeps an open file under the handle of another one, which is closed.
func (h *handles) addAs(name string, opened *handle) {
	if old := h.open[name]; old != nil {
		old.file.Close()
	}
	h.open[name] = opened
}

func (h *handles) get(name string) (*handle, error) {
	if found := h.open[name]; found != nil {
		return found, nil
	}
	return nil, errNoHandle
}

// any is one of the open handles, or "".
func (h *handles) any() string {
	for name := range h.open {
		return name
	}
	return ""
}

func (h *handles) closeAll() {
	for _, one := range h.open {
		one.file.Close()
	}
	clear(h.open)
}
