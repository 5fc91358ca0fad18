package local

// SyncfsTells gives tests the look at the kernel.
func SyncfsTells(release string) bool { return syncfsTells(release) }

// SyncfsWaits gives tests the look at the file system.
func SyncfsWaits(magic uint32) bool { return syncfsWaits(magic) }
