// Package ledger keeps in one SQLite file what every connector has delivered, what
// failed, what was about to happen when a pass was killed, and what other programs asked
// for. A Connector of it implements pass.Ledger.
//
// SQLite is modernc.org/sqlite, which is pure Go and so builds everywhere. What a method
// wrote is durable when it returns: SQLite's write-ahead log is synced with every commit.
// Several processes may have the file open. The lease of a connector says which of them
// may write for it.
//
// A Ledger and a Connector are made of small types, one a role and each in its file. All
// types of a Ledger share its database (database.go): requests and subscriptions, Outbox,
// Spool, and the passes that are not written yet (idle.go). All types of a Connector share
// its part of the ledger (connector.go), with its lease (lease.go): records, journal,
// checkpoints, originals, passes and history.
package ledger
