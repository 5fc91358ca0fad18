//go:build !linux && !darwin

package inbox

import (
	"errors"
	"os"
)

// Without extended attributes there are no notes: see durable.go.
func writeNote(*os.File, int64) error { return errors.ErrUnsupported }

func readNote(*os.File) int64 { return 0 }

func removeNote(*os.File) {}
