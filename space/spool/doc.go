// Package spool holds what the clients of one Space upload until it is imported.
//
// An upload is an object: a file with an id of its own in the spool's directory.
// What clients see as directories and files is an index, the rows of a table in the
// ledger's database. Rename, remove, overwrite and mkdir change rows; no object is
// ever written to again once it was received. Clients reach the spool through
// Handlers, as the "/" of an SFTP session; the import reaches it through Source,
// whose entries have the object's id as their version.
//
// CLOSE is answered when the object is durable, with its name, and then the row. So
// every row of an upload has its object, whatever happened to the program: see
// docs/spool.md for each instant at which it may end.
//
// The index is in memory as a whole. Changes are made there first and are written in
// groups: whoever changes something waits until the group with it is durable, and
// holds nothing meanwhile.
//
// Read spool.go, session.go and tree.go, then open.go and writer.go for how an upload is
// written, close.go for how it ends and is accepted, commit.go for the index, and ready.go
// and source.go for the import.
package spool
