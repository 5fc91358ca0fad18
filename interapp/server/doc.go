// Package server serves the connectors and the Spaces over HTTP: the inter-app API with its
// OpenAPI document, health, readiness and metrics, and a stream of events.
package server
