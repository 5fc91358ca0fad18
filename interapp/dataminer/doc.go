// Package dataminer reads the InterApp calls of DataMiner as its library
// serializes them, and writes the answers in the same JSON.
//
// No class is ever made from a $type: it is only compared with the name of the
// configuration. docs/dataminer.md has what is known of the format and what is
// inferred.
package dataminer
