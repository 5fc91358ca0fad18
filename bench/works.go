package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// work is one thing that every program is asked to do.
type work struct {
	name  string
	about string
	rtt   time.Duration
	kind  kind
	build func(dir string) error
}

// kind is what is asked for.
type kind int

const (
	fetch kind = iota // copy the tree to an empty directory
	again             // look again at a tree that was copied and did not change
	list              // list the names
	twice             // fetch, and ours looks at each file twice, a second apart
)

// settle is our files.settle: the works are about what copying costs, but for one.
func (k kind) settle() string {
	if k == twice {
		return "1s"
	}
	return "0s"
}

// works are the works of docs/performance.md.
func works(scale float64) []work {
	n := func(full int) int { return max(1, int(float64(full)*scale)) }
	small := func(dir string) error { return fill(dir, n(20_000), 200, func(int) int { return 4 << 10 }) }
	const far = 40 * time.Millisecond
	return []work{
		{"big", "one file of 2 GiB", 0, fetch, func(dir string) error { return fill(dir, 1, 1, func(int) int { return n(2 << 30) }) }},
		{"mixed", "2,000 files of 1 KB to 4 MB, 715 MB", 0, fetch, func(dir string) error { return fill(dir, n(2_000), 50, mixedSize) }},
		{"small", "20,000 files of 4 KB in 200 directories", 0, fetch, small},
		{"twice", "the same, each file looked at twice, 1 s apart", 0, twice, small},
		{"small-far", "1,000 files of 4 KB, 40 ms away", far, fetch, func(dir string) error {
			return fill(dir, n(1_000), 10, func(int) int { return 4 << 10 })
		}},
		{"big-far", "one file of 256 MiB, 40 ms away", far, fetch, func(dir string) error { return fill(dir, 1, 1, func(int) int { return n(256 << 20) }) }},
		{"list-far", "the names of 50,000 files in one directory, 40 ms away", far, list, func(dir string) error {
			return fill(dir, n(50_000), 1, func(int) int { return 0 })
		}},
		{"again", "20,000 unchanged files looked at again", 0, again, small},
		{"again-far", "20,000 unchanged files looked at again, 40 ms away", far, again, small},
	}
}

// mixedSize spreads sizes evenly over their magnitudes, 357 KB on average.
func mixedSize(i int) int {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	return int(1000 * math.Pow(4000, math.Pow(r.Float64(), 0.68)))
}

// fill makes files that cannot be compressed, modified in 2020.
func fill(dir string, files, dirs int, size func(i int) int) error {
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range files {
		parent := filepath.Join(dir, fmt.Sprintf("d%03d", i%dirs))
		if i < dirs {
			if err := os.MkdirAll(parent, 0o755); err != nil {
				return err
			}
		}
		path := filepath.Join(parent, fmt.Sprintf("file-%06d.dat", i))
		if err := write(path, data, size(i), i); err != nil {
			return err
		}
		if err := os.Chtimes(path, old, old.Add(time.Duration(i)*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, data []byte, size, seed int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := seed * 977 % (len(data) / 2); size > 0; at = 0 {
		n := min(size, len(data)-at)
		if _, err := f.Write(data[at : at+n]); err != nil {
			return err
		}
		size -= n
	}
	return f.Close()
}
