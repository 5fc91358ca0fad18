//go:build !linux

package local

import "errors"

// renameProving would rename a file and leave a proof of that, in one step.
func renameProving(*directory, string, string, bool) error { return errors.ErrUnsupported }

// proves would report whether a proof stands under the name.
func (d *directory) proves(string) bool { return false }
