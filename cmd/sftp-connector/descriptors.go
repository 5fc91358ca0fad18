package main

import "sftpconnector/interapp/server"

// room is how the daemon divides its file descriptors, so that clients of one listener
// take none from the other, and neither from the connectors.
type room struct {
	api    server.Limits
	spaces int // of the SSH server of Spaces; 0: as many as it likes
}

// roomFor divides n descriptors; 0 for no limit. The API needs few: an eighth. Spaces may
// have half, and connectors and the ledger have the rest.
func roomFor(n int) room {
	r := room{api: server.DefaultLimits()}
	if n > 0 {
		r.api.All = max(8, min(r.api.All, n/8))
		r.api.Address = max(4, min(r.api.Address, r.api.All/4))
		r.spaces = max(16, n/2)
	}
	return r
}
