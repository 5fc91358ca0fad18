//go:build linux

package powerfs

import (
	"errors"
	"fmt"
	"io"

	"log"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// unmountTime bounds how long Unmount waits.
const unmountTime = 10 * time.Second

// FS is a mounted file system. Its methods may be called at any time, side by side.
type FS struct {
	mount   string
	server  *fuse.Server
	served  chan struct{} // closed when the kernel has let go
	faults  faults
	watch   watchers
	noFsync bool // for tests of the tests: fsync does nothing

	// mu is held for no longer than it takes to change what is in memory. Nobody
	// who holds it touches the mount.
	mu         sync.Mutex
	dead       bool   // the power is cut
	epoch      uint64 // power cuts so far
	inodes     inodes
	names      journal
	room       room
	handles    map[uint64]*handle
	lastHandle uint64
}

// Lost counts what a power cut took.
type Lost struct {
	Writes      int // sectors that do not hold what was written last
	Names       int // operations on names
	Truncations int // files of another size than at the cut
}

// Mount mounts an empty file system at dir, which must exist.
func Mount(dir string) (*FS, error) {
	f := &FS{
		mount:   dir,
		served:  make(chan struct{}),
		handles: map[uint64]*handle{},
		inodes:  inodes{byNode: map[uint64]*inode{}},
		names:   journal{ops: map[*nameOp]bool{}},
		room:    room{limit: -1},
	}
	f.faults.init()
	f.watch.init()
	f.inodes.root = f.inodes.add(syscall.S_IFDIR|0o755, fuse.Caller{Owner: *fuse.CurrentOwner()})
	f.inodes.root.nlink = 2
	f.inodes.lastNode = fuse.FUSE_ROOT_ID
	f.inodes.forgetAll()

	server, err := f.newServer()
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	f.server = server
	go func() {
		defer close(f.served)
		server.Serve()
	}()
	if err := server.WaitMount(); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", dir, err), f.Unmount())
	}
	return f, nil
}

// newServer mounts.
func (f *FS) newServer() (*fuse.Server, error) {
	asRoot := os.Geteuid() == 0
	if asRoot {
		// go-fuse opens its device without O_CLOEXEC then. A child that inherited it
		// would keep the mount alive when this process is gone, and wait for it forever.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		defer closeOnExec("/dev/fuse")
	}
	return fuse.NewServer(newCalls(f), f.mount, &fuse.MountOptions{
		FsName:             "powerfs",
		Name:               "powerfs",
		DirectMountStrict:  asRoot,
		AllowOther:         asRoot,
		Options:            []string{"default_permissions"},
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
		// Else the kernel drops a file's pages when it hears of another time, those of
		// mappings among them whose writing back has failed.
		ExplicitDataCacheControl: true,
		Logger:                   log.New(io.Discard, "", 0), // it tells of every call that was interrupted
	})
}

// closeOnExec keeps children from inheriting the descriptors of a device.
func closeOnExec(device string) {
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, d := range descriptors {
		if target, err := os.Readlink("/proc/self/fd/" + d.Name()); err != nil || target != device {
			continue
		}
		if fd, err := strconv.Atoi(d.Name()); err == nil {
			syscall.CloseOnExec(fd)
		}
	}
}

// Unmount ends the file system and forgets all. It takes ten seconds at most: what
// is still open is cut off, and its users get errors.
func (f *FS) Unmount() error {
	f.faults.stop()
	defer f.watch.stop()
	err := f.detach()
	if err != nil {
		return fmt.Errorf("unmount %s: %w", f.mount, err)
	}
	select {
	case <-f.served:
		return nil
	case <-time.After(unmountTime):
		return fmt.Errorf("unmount %s: the kernel holds on to it", f.mount)
	}
}

// detach takes the mount away, by force if it is busy.
func (f *FS) detach() error {
	if os.Geteuid() != 0 {
		return exec.Command("fusermount3", "-u", "-z", f.mount).Run()
	}
	err := syscall.Unmount(f.mount, 0)
	if errors.Is(err, syscall.EBUSY) {
		// MNT_FORCE ends the connection, so that nobody waits for an answer.
		err = syscall.Unmount(f.mount, syscall.MNT_FORCE|syscall.MNT_DETACH)
	}
	return err
}

// Cut cuts the power: from now on every call fails with EIO, and nothing changes.
// Calls that a fault delays fail at once.
func (f *FS) Cut() {
	f.mu.Lock()
	f.dead = true
	f.mu.Unlock()
	f.faults.release()
}

// Restore brings the power back, after a Cut or with one: it forgets what was not
// durable at the cut, by chances drawn from r, and serves again. The same
// calls and the same r give the same result. Handles of before stay dead (EIO or
// ESTALE), and the kernel keeps nothing of before in its caches. Faults and room
// stay as they are.
func (f *FS) Restore(r *rand.Rand) Lost {
	f.Cut()
	f.mu.Lock()
	nodes := f.inodes.cached()
	f.mu.Unlock()
	// The kernel may try to write dirty pages first, and gets errors. An error here
	// says that the kernel has no such node any more.
	for _, node := range nodes {
		f.server.InodeNotify(node, 0, 0)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	lost := f.forgetUnsynced(r)
	f.epoch++
	f.inodes.forgetAll()
	clear(f.handles)
	f.dead = false
	return lost
}

// forgetUnsynced leaves what survives a power cut, all of it durable.
func (f *FS) forgetUnsynced(r *rand.Rand) Lost {
	lost := Lost{Names: f.names.cut(r, chance(r))}
	data := chance(r)
	f.room.used = 0
	for _, i := range f.inodes.reach() {
		i.opens = 0
		ofSector, ofSize, ofAttributes := data, data, data
		if data > 0 && data < 1 {
			ofSector, ofSize, ofAttributes = chance(r), chance(r), chance(r)
		}
		gone := i.data.cut(r, ofSector, ofSize)
		lost.Writes += gone.Writes
		lost.Truncations += gone.Truncations
		f.room.used += i.data.allocated
		if i.attributes != i.stable && r.Float64() >= ofAttributes {
			i.attributes = i.stable
		}
		i.stable = i.attributes
	}
	return lost
}

// chance draws how likely something survives: never, always, or something between.
func chance(r *rand.Rand) float64 {
	switch r.Intn(4) {
	case 0:
		return 0
	case 1:
		return 1
	default:
		return r.Float64()
	}
}

// Sync makes all durable, as sync(2) would.
func (f *FS) Sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for op := range f.names.ops {
		op.synced = true
	}
	f.names.cut(rand.New(rand.NewSource(0)), 1)
	for _, i := range f.inodes.reach() {
		i.data.sync()
		i.stable = i.attributes
	}
}

// SetFree says how many bytes are left from now on: statfs tells it, and writing
// beyond it fails with ENOSPC. Negative: without bound. What is removed gives its
// room back.
func (f *FS) SetFree(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room.limit = -1; bytes >= 0 {
		f.room.limit = f.room.used + bytes
	}
}
