package local

import filesync "sftpconnector/sync"

// Failed gives tests the sorting of errors.
func Failed(d filesync.Destination, err error) error {
	return d.(*Destination).failed("write", "x", err)
}
