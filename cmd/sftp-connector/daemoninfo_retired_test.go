package main

import (
	"os"
	"testing"
)

// The file of a daemon that was killed is told of until what follows from it is
// done, also by a start that did not get that far; nobody takes it for a daemon that runs.
func TestDaemonInfoOfAKilledDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	retired := func(want bool) {
		t.Helper()
		if killed, err := retireDaemonInfo(dir); err != nil || killed != want {
			t.Fatalf("killed %v, %v; want %v", killed, err, want)
		}
		if _, err := os.Stat(daemonInfoPath(dir)); err == nil {
			t.Fatal("daemon.json is left")
		}
	}
	retired(false)
	if err := (daemonInfo{PID: 1, URL: "http://127.0.0.1:1"}).write(dir); err != nil {
		t.Fatal(err)
	}
	retired(true)
	retired(true) // that start ended before the ledger knew
	if err := os.Remove(killedPath(dir)); err != nil {
		t.Fatal(err)
	}
	retired(false)
}
