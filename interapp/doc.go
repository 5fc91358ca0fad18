// Package interapp is what other programs import to talk to a running
// sftp-connector: the messages of its HTTP API, and a client. It needs nothing
// but the standard library.
package interapp
