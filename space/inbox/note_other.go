//go:build !linux && !darwin

package inbox

import (
	"errors"
	"os"
)

// Without extended attributes there are no notes.
func writeNote(*os.File, note, int64) error { return errors.ErrUnsupported }

func readNote(*os.File, note) int64 { return 0 }

func removeNote(*os.File, note) {}
