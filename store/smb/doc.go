// Package smb is a destination on a share of a file server that speaks SMB 2.1
// to 3.1.1: Windows, Samba, a NAS. Signing and encryption are as the server
// asks; users log in with NTLMv2.
//
// dial.go gets to the directory that a Target (target.go) names, session.go watches over
// the connection and explain.go finds words for what fails. Destination is what is written
// through it: destination.go, pending.go, writes.go and publish.go.
package smb
