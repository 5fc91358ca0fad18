package smb

import (
	"fmt"
	"io/fs"
	"strings"

	"sftpconnector/share"
)

// Target is a directory on a share, as a path names it.
type Target = share.Target

// Parse reads a path by the same rules as the configuration: see share.Parse.
func Parse(path string) (Target, error) { return share.Parse(path) }

// checkName says why a slash-separated name cannot stand on a share. The error
// is fs.ErrInvalid.
func checkName(name string) error {
	for component := range strings.SplitSeq(name, "/") {
		if err := share.CheckName(component); err != nil {
			return fmt.Errorf("a share cannot hold the name %s: %w (%w)", name, err, fs.ErrInvalid)
		}
	}
	return nil
}

func backslashed(name string) string { return strings.ReplaceAll(name, "/", `\`) }
