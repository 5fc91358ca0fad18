//go:build !linux

package sftpd

import "errors"

func (s *session) statVFS(request) (packet, error) { return nil, errors.ErrUnsupported }
