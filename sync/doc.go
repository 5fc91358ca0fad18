// Package sync does one pass: it lists a source, filters, waits until files are
// ready, compares with the ledger, copies, verifies, commits and does what
// after_copy asks for. It knows stores only by the interfaces that it declares,
// so it knows no SSH and no SMB.
//
// The folder has the name of the standard library's package. Importers write
//
//	filesync "sftpconnector/sync"
//
// and the few files in here that need a mutex import the standard "sync" plainly.
//
// A reader who wants to follow a file through a pass reads pass.go, then
// walk.go, compare.go, copy.go, commit.go and after.go in this order.
package sync
