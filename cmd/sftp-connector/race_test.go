//go:build race

package main

// slower is how many times as long work takes, about, beside a program without the race
// detector.
const slower = 10
