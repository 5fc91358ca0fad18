// Package requests takes inter-app requests and subscriptions, and sees to it
// that each request gets exactly one answer and each delivery is told of, also
// across restarts: what was accepted is in the ledger before the caller hears so.
//
// A request is taken in accept.go and worked off in work.go, a subscription is taken in
// subscribe.go, and outbox.go has what is posted of both.
package requests
