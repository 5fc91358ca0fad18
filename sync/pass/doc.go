// Package pass runs once over a source: it lists, decides about each file, submits those
// that are to be copied to the connector's queue, waits, and reports. Passes of a
// connector may run side by side; what they have in common is in Shared.
//
//	p := pass.New(source, open, destination, ledger, shared, options)
//	result := p.Run(ctx)
//
// A pass holds nothing while it waits. Only what was listed completely is concluded to be
// gone from the source.
//
// Read pass.go, list.go with tree.go, ready.go, secondlook.go, decide.go, submit.go and
// report.go in this order. request.go has what only the pass of a request does, and
// checkpoints.go what is kept of interrupted copies.
package pass
