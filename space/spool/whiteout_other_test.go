//go:build !linux

package spool_test

import "errors"

// renameWhiteout fails: there are no whiteouts.
func renameWhiteout(string, string) error { return errors.ErrUnsupported }
