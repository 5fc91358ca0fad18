// Package sftptest gives tests an SFTP server to talk to: the real OpenSSH and
// ProFTPD of Debian as child processes (Server), a server inside the test with
// switches for everything that servers do wrong (Faulty), and sockets that are
// no SSH server at all. Tree and CompareTrees make and compare what is copied.
//
// All of it listens on loopback alone, works in temporary directories, and is
// gone when the test ends. A test that cannot have its server fails; it is
// never skipped.
package sftptest
