// Package world carries a schedule out: it starts the product as a process,
// with the servers, disks, lines and receivers that the schedule names, lets
// everything happen at its time, ends all faults, and gives the checker what was
// done and what was seen.
//
// It knows the product from outside only: its configuration, its API, its
// process, and the files.
package world
