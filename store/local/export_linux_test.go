package local

// SyncfsTells gives tests the look at the kernel.
func SyncfsTells(release string) bool { return syncfsTells(release) }
