// Package sshd is the SSH server of all Spaces. It serves the subsystem "sftp" to
// clients that log in, and nothing else: no shell, no command, no forwarding. The user
// name is the Space. The handlers that it is given decide what its files are.
//
// The way of a connection through the files: server.go accepts it, loginqueue.go makes
// room for it, login.go authenticates it (package authdelay delays failed attempts),
// limits in server.go admit it, session.go keeps it and its channels, sftp.go serves a
// channel through guard.go, which stands before the handlers.
package sshd
