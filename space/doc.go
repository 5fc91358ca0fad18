// Package space is the receiving end: Spaces, to which clients upload over SFTP
// with credentials of their own. What was uploaded whole is imported into the
// Space's destination and then removed from its inbox.
//
// The SSH side is package sshd, the files that clients see are package spool,
// and the passwords package credentials. The import is a pass as any other: the
// spool is the source of a connector, which deletes originals after the copy.
package space
