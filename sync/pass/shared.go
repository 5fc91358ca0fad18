package pass

import "sftpconnector/sync/transfer"

// Shared is what the passes of one connector have in common: those that follow
// each other, and those that run side by side. Make one with NewShared for each
// connector of a process; it may be used concurrently.
type Shared struct {
	observations *Observations
	tracker      failureTracker
	queue        *transfer.Queue
}

// NewShared makes the common part of a connector's passes. Together they read
// at most so many bytes a second; 0 is no limit.
func NewShared(bytesPerSecond int64) *Shared {
	return &Shared{observations: newObservations(), queue: transfer.New(bytesPerSecond)}
}
