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

// Why nobody was let in. A connection that ends before it has tried a password
// is no event: port scanners and health checks do that all day.
const (
	RefusedLogin     Reason = "login"      // no password or key was right
	RefusedDropped   Reason = "dropped"    // it had to make room for others that want to log in
	RefusedFull      Reason = "full"       // MaximumConnections
	RefusedSpaceFull Reason = "space-full" // MaximumConnectionsPerSpace
	RefusedCut       Reason = "cut"        // Server.Disconnect, between its password and its first request
)

// Why a session has ended.
const (
	EndClient       Reason = "client"       // it said goodbye
	EndLost         Reason = "lost"         // the connection broke, or the client is silent
	EndIdle         Reason = "idle"         // Options.Idle
	EndStalled      Reason = "stalled"      // the client does not take what it asked for
	EndStopped      Reason = "stopped"      // the server stops
	EndDisconnected Reason = "disconnected" // Server.Disconnect
	EndPanic        Reason = "panic"        // a handler failed badly; the log has the stack
)

// Event is one of them. In a Refused one with RefusedLogin or RefusedDropped
// the Space is what the client says, which may be anything of bounded length.
type Event struct {
	Kind    EventKind
	Reason  Reason // of Refused and Closed
	Session Session
}

// Session is what may be told of a connection.
type Session struct {
	Space    string
	Address  string // the client's IP
	Client   string // the name and version that it gives, printable and bounded
	Since    time.Time
	Received int64 // bytes written to files
	Sent     int64 // bytes read from files
	Stored   int64 // files that were written and closed
	Fetched  int64 // files that were opened for reading and closed
}
