// Package sync holds what all parts that copy files share: an Entry and its version, the
// interfaces Source and Destination, what the ledger records, what a pass reports,
// and which names are safe. It does nothing by itself, and knows no SSH, SQL or file
// system.
//
// Below it, plan decides about one file, transfer copies files, pass runs over a source,
// and ledger remembers. A reader who wants to follow a file reads pass/pass.go, then
// pass/list.go, pass/decide.go, plan/plan.go, pass/submit.go, and transfer/queue.go,
// job.go, copy.go, commit.go and after.go.
//
// The folder has the name of the standard library's package. Importers write
//
//	filesync "sftpconnector/sync"
package sync
