// Package operator holds docs/troubleshooting.md to the program: its tests inject
// every fault that the page names, and look for what the page says is shown and
// logged, when the fault begins and when it ends. They know the program only from
// outside: its configuration, its HTTP API, its log and its exit code.
package operator
