// Package connector runs connectors. A Connector has a configuration and starts passes
// (run.go; a request's in request.go). Its parts are
//
//   - the Connection Status: health.go
//   - the planner of its automatic passes: planner.go, by schedule.go
//   - its ends, the source and the destination, with logins that are held back once they
//     were refused: ends.go, hold.go, credentials.go; check.go tries them
//   - the claim by which its passes write: claim.go
//   - the pruner, which applies the retention: retention.go
//
// A Set (set.go) holds all connectors. The package knows stores only by the constructors
// that it is given.
package connector
