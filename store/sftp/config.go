package sftp

import (
	"sftpconnector/charset"
	"sftpconnector/sshclient"
	"sftpconnector/store/pending"
)

// Config says how to reach a server and what to read or write there.
type Config struct {
	// Config is how to reach the server and to log in.
	sshclient.Config

	Root        string // the directory on the server that the names of entries start from
	Connections int    // how many channels at most; 0: as many as pay

	// NameEncoding is that of the names on the server; nil: UTF-8.
	NameEncoding *charset.Encoding

	Owner  pending.Owner // of a Destination: marks our pending files
	Direct bool          // of a Destination: files are written under their own names
	// Overwrite, of a Destination, allows to overwrite a file whose name the server
	// does not let us look at.
	Overwrite bool

	// Limits keeps what is learnt about the server, from one Source to the next.
	// Without it, nil, that is forgotten.
	Limits *Limits
}
