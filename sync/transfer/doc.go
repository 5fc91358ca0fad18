// Package transfer copies the files of one connector. A Queue has at most one job for
// each name at the destination; the passes of the connector plan, submit and wait, and
// hold nothing meanwhile, so that no two of them can wait for each other. A job is
// copied, verified and committed with others in batches; then its original is removed
// or moved, if that is asked for.
//
//	submit → queue → copy → verify → commit → after
//
// Who submits a file that is under way already gets the result of that job. Contents
// are durable before they have their names, and have them before the ledger says so.
//
// A Client (queue.go) is a pass that has joined the queue. Read queue.go, job.go, work.go
// and after.go in this order. They hand on to types that know nothing of who waits:
// schedule (which job is next), copier (copy.go), committer (commit.go), disposer
// (originals), failures, and inPlaceJournal (inplace.go). What was left by a killed pass is
// recovered in recover.go, outcome.go and removals.go before anything is copied. room.go,
// reserve.go and watch.go say what is done where the destination is full. source.go opens a
// lost source again.
package transfer
