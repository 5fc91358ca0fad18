// Command faults lets faults of every kind hit the product in many random runs,
// and checks after each that nothing was lost, nothing is half, and nothing was
// green that was not. docs/faults.md says what is injected and what is checked.
//
//	go run ./faults -seeds 1000 -jobs 12 -state faults.json
//	go run ./faults -seeds 1 -from 17 -keep kept
//	go run ./faults -schedule kept/seed17/schedule.json -shrink
//
// It runs on Linux, as it needs FUSE.
package main
