package storetest_test

import (
	"testing"

	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

func TestMemory(t *testing.T) {
	storetest.Source(t, func(*testing.T) (filesync.Source, storetest.Host) {
		m := storetest.NewMemory()
		return m, m
	})
}
