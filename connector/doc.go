// Package connector runs connectors. A Connector has a configuration, a schedule
// (schedule.go), a Connection Status (health.go), logins that are held back once they were
// refused (hold.go), and passes (run.go; a request's in request.go). A Set (set.go) holds
// all of them.
//
// It knows stores only by the constructors that it is given.
package connector
