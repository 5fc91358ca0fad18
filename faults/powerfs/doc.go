// Package powerfs is a file system in memory whose power can be cut. Tests put
// what a program under test writes over it, cut the power, and look what the
// program makes of the rest. It runs on Linux with FUSE; elsewhere the package
// is empty.
//
// # What survives a power cut
//
// The model is POSIX read strictly: what was not synced may be there or not, in
// any combination. A real file system keeps more order than that on a good day.
//
// Contents. fsync and fdatasync of any handle of a file make its data and size
// durable; so do msync and a write through a handle with O_SYNC or O_DSYNC, of which the
// kernel makes an fsync. Of what
// was written since, every sector of 512 bytes survives by itself: it holds what
// it held at the last sync, at the cut, or between two writes of that time (the
// last eight are remembered). So a write may survive in half. The size survives by
// itself too: it is the one of the last sync, of the cut, one between (sixteen to
// thirty-two are remembered) or a multiple of 512 between two of them. A size may
// survive without its data, which then are zeros. A truncation writes zeros over what it
// cuts off, and these may be lost as other writes may.
//
// Attributes. Mode, owner and times are durable with fsync, not with fdatasync.
// Unsynced changes of an inode's attributes survive all or not at all.
//
// Names. Creation, link, symlink, rename, unlink, mkdir and rmdir become durable
// by fsync of the directory, never by fsync of the file. Of the operations since
// then any set survives for which this holds:
//
//   - Of the operations on one name in one directory the first ones survive, in order.
//   - A rename survives as a whole, with both names, or not at all. fsync of either
//     directory makes it durable, with all earlier operations on both names.
//   - An operation in a directory whose mkdir was lost is lost, synced or not.
//   - A removed directory was empty: its rmdir survives only with all that happened in
//     it before, and is durable only with it.
//   - Renames of directories survive in their order.
//
// A file whose name survives has what survived of its contents, so that a file
// renamed before its fsync may be found empty, half, or full of zeros. Its inode number
// stays the same. What no name leads to is gone. Locks are gone.
//
// A cut draws from its source of randomness how much of names and of contents
// survives: nothing, all, or each by chance. "All names and no contents" and its
// reverse are among the cases.
//
// # What is not modelled
//
//   - sync(2) and syncfs(2): the kernel does not tell a FUSE file system of them. [FS.Sync]
//     does their work for a test.
//   - Writing back as time goes by: it cannot be told from luck at the cut.
//   - Ordered journals, delayed allocation, barriers, and what else gives more order
//     than POSIX promises.
//   - Dirty pages that a kernel drops after a failed fsync: a later fsync that
//     succeeds makes them durable here.
//   - Sectors torn within, bits that rot, writes that go astray.
//   - Pages of a shared mapping that the kernel has not written back yet do not reach
//     the file system, so that none of them survives.
//   - Inode numbers used again, extended attributes, O_TMPFILE, device nodes, quotas.
//
// # Use in a test
//
// The kernel keeps locks (fcntl and flock). It keeps no names and attributes, so what
// one process changed another sees at once.
//
// The program under test must be another process if it maps files into memory (as
// SQLite does in WAL mode), because a Go process that waits for a page holds up its
// own scheduler, which has to serve that page. For the same reason no child is to be
// started with its working directory below a mount of its parent.
//
// Mount works by itself as root. Anybody else needs fusermount3, of the Debian
// package fuse3.
package powerfs
