// Package sftpd is an SSH server with SFTP version 3 that serves one directory of
// the local disk and does wrong what it is told to do wrong. What it gives out of
// a file is never falsified, as nobody could tell; all else may be.
package sftpd
