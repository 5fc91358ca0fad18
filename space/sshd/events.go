package sshd

import "time"

// EventKind is what happened to a connection.
type EventKind string

// Connected and Closed come in pairs; Refused comes alone.
const (
	Connected EventKind = "connected"
	Refused   EventKind = "refused"
	Closed    EventKind = "closed"
)

// Reason says why a connection was refused or has ended. There are a few of
// them, so that they may be labels of a metric.
type Reason string

// Why nobody was let in. A connection that ends before its first password or key is no
// event, as port scanners and health checks make many of them.
const (
	RefusedLogin     Reason = "login"      // no password or key was right
	RefusedDropped   Reason = "dropped"    // it had to make room for others that log in
	RefusedFull      Reason = "full"       // MaximumConnections
	RefusedSpaceFull Reason = "space-full" // MaximumConnectionsPerSpace
	RefusedCut       Reason = "cut"        // Server.Disconnect, between its password and its first request
)

// Why a session has ended.
const (
	EndClient       Reason = "client"       // the client ended it
	EndLost         Reason = "lost"         // the connection broke, or the client is silent
	EndIdle         Reason = "idle"         // Options.Idle
	EndStalled      Reason = "stalled"      // the client does not read the answers
	EndStopped      Reason = "stopped"      // the server stops
	EndDisconnected Reason = "disconnected" // Server.Disconnect
	EndPanic        Reason = "panic"        // a handler failed badly; the log has the stack
)

// Event is a change of a connection. In a Refused one with RefusedLogin or
// RefusedDropped, the Space is the user name that the client gave, any text of bounded
// length.
type Event struct {
	Kind    EventKind
	Reason  Reason // of Refused and Closed
	Session Session
}

// Session is what may be told of a connection.
type Session struct {
	Space    string
	Address  string // the client's IP
	Client   string // its SSH version string, printable and bounded
	Since    time.Time
	Received int64 // bytes written to files
	Sent     int64 // bytes read from files
	Stored   int64 // files that were written and closed
	Fetched  int64 // files that were opened for reading and closed
}
