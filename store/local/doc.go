// Package local has a local directory as a destination, and as the source of uploads
// (source.go). Everything happens through an os.Root, so that no name, link or race leads
// out of it.
//
// Durability rests on POSIX: contents are synced before a file is renamed, and
// its directory afterwards. On Linux one syncfs(2) serves a whole batch on the
// file systems where that is known to wait for the disk.
package local
