// Package sftp is a Source and a Destination over SFTP, version 3. A session is a
// directory on a server and the channels to it, on an SSH connection: read session.go,
// connection.go, pool.go and channel.go. Config is in config.go, and limits.go has what
// was learnt of a server.
//
// Source reads through a session: source.go, list.go, complete.go, version.go, fetch.go
// and consume.go. Destination writes through one: destination.go, pending.go, upload.go,
// finish.go, publish.go, rename.go and sweep.go. The packets are those of package wire.
package sftp
