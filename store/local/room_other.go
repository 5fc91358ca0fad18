//go:build !linux && !darwin && !windows

package local

import (
	"errors"

	filesync "sftpconnector/sync"
)

func roomOf(*directory) (filesync.Room, error) { return filesync.Room{}, errors.ErrUnsupported }
