// Package model knows what a run has done to the files at a source, version by
// version, and checks what the product made of it. A checker is a pure function
// of what was done and what was seen; no file is read here.
package model
