// Package pass runs once over a source: it lists, decides about each file, submits those
// that are to be copied to the connector's queue, waits, and reports. Passes of a
// connector may run side by side; what they have in common is in Shared.
//
//	p := pass.New(source, open, destination, ledger, shared, options)
//	result := p.Run(ctx)
//
// A pass holds nothing while it waits. Only what was listed completely is concluded to be
// gone from the source.
package pass
