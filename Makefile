# What each target does is in the scripts that it calls; all but the Go
# toolchain is installed by the first of them, when it runs as root.

.PHONY: build test soak bench fuzz

build:
	CGO_ENABLED=0 go build -trimpath -o sftp-connector ./cmd/sftp-connector

test:
	scripts/install-test-tools
	scripts/check
	scripts/test -timeout 30m
	scripts/cross-build

soak:
	scripts/install-test-tools
	SOAK=1 scripts/test -timeout 60m

bench:
	go run ./bench

# How long each fuzz target runs.
FUZZTIME ?= 30s

fuzz:
	scripts/fuzz $(FUZZTIME)
