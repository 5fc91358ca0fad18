// Command mutations breaks the product on purpose, in one place at a time, and
// reports whether the tests notice.
//
//	go run ./faults/mutations                  # all of them
//	go run ./faults/mutations -list            # what there is
//	go run ./faults/mutations -only 7,gone-*   # by number or name
//	go run ./faults/mutations -state FILE      # goes on where it stopped
//
// It copies the module to a temporary directory and works there. For each mutation
// it prints caught, survived, does not compile, no longer applies, or tests fail
// without it. Its exit code is 1 unless all were caught.
//
// The lists are texts below lists, one file for each part of the product. A
// mutation is
//
//	## name
//	File: sync/pass/after.go
//	Tests: ./sync/pass -run TestAfter
//	Breaks: What goes wrong for a user, in one sentence.
//	-
//	the old text, which occurs exactly once in the file
//	+
//	the new text
//
// What comes before the first mutation of a file is a remark. Tests are arguments
// of go test; a mutation may have several lines of them, that are run in turn until
// one notices.
package main
