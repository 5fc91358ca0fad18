package local

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"sftpconnector/store/pending"
)

// FoldsCase implements sync.Destination. It is a matter of the file system, not of
// the operating system: FAT, NTFS, shares that are mounted, and ext4 with casefold
// do on Linux, too. So it is tried, once.
func (d *Destination) FoldsCase() bool {
	d.foldsOnce.Do(func() { d.folds = d.tryCase() })
	return d.folds
}

// tryCase makes a hidden file and looks for it in capitals. Where none can be made,
// the usual file system of the operating system is assumed: where that folds and
// this one does not, the rule is only stricter than it had to be.
func (d *Destination) tryCase() bool {
	usual := runtime.GOOS == "windows" || runtime.GOOS == "darwin"
	name := pending.Name("case", pending.NewID(d.owner))
	root := d.dirs.root
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return usual
	}
	_ = f.Close()
	defer root.Remove(name) // else the next sweep does
	_, err = root.Lstat(strings.ToUpper(name))
	switch {
	case err == nil:
		return true
	case errors.Is(err, fs.ErrNotExist):
		return false
	}
	return usual
}
