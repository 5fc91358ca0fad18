//go:build !linux

package smbtest

import "testing"

// SmallDir gives a directory with room for so many bytes; here there is none.
func SmallDir(testing.TB, int64) (dir string, ok bool) { return "", false }
