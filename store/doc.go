// Package store holds no code: the stores are below it. Each is an end that files are
// copied from or to, and none knows another.
//
//	store/sftp   a server: Source and Destination
//	store/local  a directory: Source of uploads, Destination
//	store/smb    a network share, with a user and a password: Destination
//
// To add one:
//
//  1. Write a package below store/ with a type that implements sync.Source or
//     sync.Destination (sync/store.go). A Source that a connector opens has Probe, too
//     (connector.Source). All other interfaces in sync/store.go are optional; each says
//     what is done without it.
//  2. Run the contract on it in its tests: storetest.Source, storetest.Destination.
//  3. Give it its place in arrows (architecture_test.go).
//  4. Have the configuration tell its paths from those of others (config.Share does so for
//     network shares), and open it in cmd/sftp-connector/stores.go.
package store
