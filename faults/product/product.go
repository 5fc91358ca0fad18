// Package product builds the product for the suite, with one thing changed: its
// wall clock can be shifted while it runs, which no Linux interface can do for
// one process. (A time namespace shifts the monotonic clock only, and a Go
// program asks no C library.)
package product

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ClockVariable names, in the environment of the program, the file that has by
// how many nanoseconds its wall clock goes wrong. The file is read each 50 ms.
const ClockVariable = "FAULTS_CLOCK"

// timePackage is added to package time of the standard library.
const timePackage = `package time

import "sync/atomic"

var wallOffset atomic.Int64 // seconds

// ShiftWall lets the wall clock go wrong by d from now on.
func ShiftWall(d Duration) { wallOffset.Store(int64(d / Second)) }
`

// mainPackage is added to the product's own.
const mainPackage = `package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

func init() {
	file := os.Getenv("` + ClockVariable + `")
	if file == "" {
		return
	}
	shift := func() {
		if text, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				time.ShiftWall(time.Duration(n))
			}
		}
	}
	shift()
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			shift()
		}
	}()
}
`

// now is the line of time.Now that reads the clocks.
const now = "sec, nsec, mono := runtimeNow()\n"

// Build compiles the product of the module in the current directory, or above
// it, to a file in dir.
func Build(ctx context.Context, dir string) (binary string, err error) {
	home, err := goEnv(ctx, "GOROOT")
	if err != nil {
		return "", err
	}
	module, err := goEnv(ctx, "GOMOD")
	if err != nil {
		return "", err
	}
	original := filepath.Join(home, "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), now) != 1 {
		return "", errors.New("time.Now of this Go reads the clocks in another way: see the package product of the fault suite")
	}
	replace := map[string]string{}
	for _, file := range []struct{ name, replaces, text string }{
		{"time.go", original, strings.Replace(string(text), now, now+"\tsec += wallOffset.Load()\n", 1)},
		{"shift.go", filepath.Join(home, "src", "time", "shift_for_faults.go"), timePackage},
		{"main.go", filepath.Join(filepath.Dir(module), "cmd", "sftp-connector", "clock_for_faults.go"), mainPackage},
	} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path, []byte(file.text), 0o644); err != nil {
			return "", err
		}
		replace[file.replaces] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o644); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "sftp-connector")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlayFile, "-o", binary, "sftpconnector/cmd/sftp-connector")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the product: %w\n%s", err, text)
	}
	return binary, nil
}

func goEnv(ctx context.Context, name string) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}
