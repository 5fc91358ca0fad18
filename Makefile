# What each target does is in the scripts that it calls; all but the Go
# toolchain is installed by the first of them, when it runs as root.

.PHONY: build test test-long faults soak bench fuzz

build:
	CGO_ENABLED=0 go build -trimpath -o sftp-connector ./cmd/sftp-connector

# Four packages side by side: most of their time they wait.
test:
	scripts/install-test-tools
	scripts/check
	scripts/test -p 4 -timeout 15m

# The builds for all platforms, all tests with the race detector, then ten seeds of the
# fault suite and the schedules that once broke a promise.
test-long:
	scripts/install-test-tools
	scripts/cross-build
	scripts/test -race -timeout 30m
	FAULTS_SEEDS=10 go test -count=1 -timeout 40m -parallel 6 -v -run TestPromisesHold ./faults

# A thousand seeds; what was done is kept, and a later run goes on from it.
SEEDS ?= 1000
JOBS ?= 8
faults:
	scripts/install-test-tools
	go run ./faults -seeds $(SEEDS) -jobs $(JOBS) -state faults.state -keep faults.kept -shrink

soak:
	scripts/install-test-tools
	SOAK=1 scripts/test -race -timeout 60m

bench:
	go run ./bench

# How long each fuzz target runs, and how many do side by side. What was done is kept,
# and a later run goes on from it.
FUZZTIME ?= 30s
FUZZJOBS ?= 2

fuzz:
	scripts/fuzz $(FUZZTIME) $(FUZZJOBS) fuzz.state
