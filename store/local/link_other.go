//go:build !linux

package local

import (
	"context"
	"errors"

	filesync "sftpconnector/sync"
)

// attributes are what a file has beside its contents and times.
type attributes struct{}

// BeginLink implements sync.LinkingDestination. Nothing is linked here: on NTFS a link has
// the security descriptor of the original, and gets no other name while that is open.
func (d *Destination) BeginLink(context.Context, string, filesync.Entry) (filesync.Pending, error) {
	return nil, errors.ErrUnsupported
}
