// Package storetest has what tests of stores and of passes need: the contract
// that every store must keep, and a source in memory.
package storetest
