// Package sshclient makes SSH connections and opens subsystems on them.
//
// Dial reaches a server (dial.go), directly or through a jump host, makes an SSH
// connection of the stream (transport.go, handshake.go), checks the host key
// (hostkeys.go, knownhosts.go) and logs in (auth.go, prompts.go, keyfile.go, agent.go).
// Connection (connection.go) watches over what came of it, and Channel (channel.go) is a
// subsystem on it. FetchHostKey (trust.go) and Remember (remember.go) are for whoever
// decides to trust a host key.
//
// A failure is a *status.Error (classify.go). Every wait has a deadline: Timeouts, in
// config.go.
package sshclient
