package sftptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TreeOptions say what Tree makes. Zero fields take their defaults.
type TreeOptions struct {
	Files   int       // default 5,000, the big one included
	Dirs    int       // default 300
	Depth   int       // levels of directories; default 8
	BigFile int64     // bytes of one further large file; 0: none
	Oldest  time.Time // modification time of the first file; each next is one second younger; default 2020-01-01
	Seed    byte      // another seed, other contents of the same size
}

// Manifest lists the files of a tree by name, a slash path below its top.
type Manifest []TreeFile

// TreeFile is one file of a Manifest.
type TreeFile struct {
	Name    string
	Size    int64
	ModTime time.Time
}

// Bytes is the size of all files together.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m {
		n += f.Size
	}
	return n
}

// nameForms are the names of files and directories; %d is a number. Those of a
// pair, an even one and the next, share directory and number: composed and
// decomposed Unicode are two names. None looks like a temporary file.
func nameForms() []string {
	return []string{
		"plain-%d.csv", "with some space %d.csv",
		"caf\u00e9-%d.csv", "cafe\u0301-%d.csv",
		"-dash-%d.txt", "--%d",
		".dot-%d.csv", "..dots-%d.csv",
		"\U0001f4c8 emoji %d.csv", "\u05e9\u05dc\u05d5\u05dd-\u0645\u0631\u062d\u0628\u0627-%d.csv",
		"[glob]*?{a,b}-%d.csv", "quote'\"$HOME;&|-%d.csv",
		" leading and trailing %d ", "UPPER-%d.CSV",
		"no-extension-%d", "日本語-%d.tar.gz",
	}
}

// Tree fills the directory dir with a tree that is the same each time.
func Tree(tb testing.TB, dir string, o TreeOptions) Manifest {
	tb.Helper()
	if o.Files == 0 {
		o.Files = 5000
	}
	if o.Dirs == 0 {
		o.Dirs = 300
	}
	if o.Depth == 0 {
		o.Depth = 8
	}
	if o.Oldest.IsZero() {
		o.Oldest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	dirs := makeDirs(tb, dir, o)
	forms := nameForms()
	random := rand.NewChaCha8([32]byte{o.Seed})
	var m Manifest
	for i := range o.Files {
		f := TreeFile{
			Name:    path.Join(dirs[i/2%len(dirs)], fmt.Sprintf(forms[i%len(forms)], i/2)),
			Size:    sizeOf(i),
			ModTime: o.Oldest.Add(time.Duration(i) * time.Second),
		}
		if i == o.Files-1 && o.BigFile > 0 {
			f.Name, f.Size = path.Join(dirs[len(dirs)-1], "big file.bin"), o.BigFile
		}
		must(tb, writeTreeFile(filepath.Join(dir, filepath.FromSlash(f.Name)), f, random))
		m = append(m, f)
	}
	slices.SortFunc(m, func(a, b TreeFile) int { return strings.Compare(a.Name, b.Name) })
	return m
}

// makeDirs makes a chain of the full depth, and hangs the others below it.
func makeDirs(tb testing.TB, dir string, o TreeOptions) []string {
	tb.Helper()
	forms := nameForms()
	dirs, depth := []string{"."}, []int{0}
	for i := range o.Dirs {
		parent := i
		if i >= o.Depth {
			for parent = i * 7 % len(dirs); depth[parent] >= o.Depth; {
				parent = (parent + 1) % len(dirs)
			}
		}
		d := path.Join(dirs[parent], strings.TrimSuffix(fmt.Sprintf(forms[i%len(forms)], i), ".csv")+"-d")
		must(tb, os.MkdirAll(filepath.Join(dir, filepath.FromSlash(d)), 0o755))
		dirs, depth = append(dirs, d), append(depth, depth[parent]+1)
	}
	return dirs
}

// sizeOf mixes empty files, small ones, and a few around the sizes of SFTP
// packets, where off-by-one mistakes live.
func sizeOf(i int) int64 {
	edges := []int64{1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 100 << 10, 255 << 10, 256<<10 + 1, 2<<20 + 1}
	switch {
	case i%11 == 0:
		return 0
	case i%101 == 0:
		return edges[i/101%len(edges)]
	}
	return int64(i*7919%8191) + 1
}

func writeTreeFile(path string, f TreeFile, random io.Reader) error {
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(random, f.Size), make([]byte, min(max(f.Size, 1), 1<<20)))
	return errors.Join(err, w.Close(), os.Chtimes(path, f.ModTime, f.ModTime))
}

// maxDifferences is how many CompareTrees reports.
const maxDifferences = 10

// CompareTrees fails the test unless both directories hold the same files, byte
// for byte, with the same modification times to the second. Empty directories
// do not count. A leftover *.part file in got is a difference of its own.
func CompareTrees(tb testing.TB, want, got string) {
	tb.Helper()
	wanted, found := treeFiles(tb, want), treeFiles(tb, got)
	var differences []string
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	for name := range found {
		if strings.HasSuffix(name, ".part") {
			differ("%q: a leftover", name)
		} else if _, ok := wanted[name]; !ok {
			differ("%q: should not be there", name)
		}
	}
	for name, w := range wanted {
		g, ok := found[name]
		switch {
		case !ok:
			differ("%q: missing", name)
		case g.Mode().Type() != 0:
			differ("%q: is %v, not a plain file", name, g.Mode().Type())
		case g.Size() != w.Size():
			differ("%q: %d bytes, want %d", name, g.Size(), w.Size())
		case g.ModTime().Unix() != w.ModTime().Unix():
			differ("%q: modified %v, want %v", name, g.ModTime().UTC(), w.ModTime().UTC())
		default:
			at, err := firstDifference(filepath.Join(want, name), filepath.Join(got, name))
			if err != nil {
				differ("%q: %v", name, err)
			} else if at >= 0 {
				differ("%q: differs from byte %d on", name, at)
			}
		}
	}
	if len(differences) == 0 {
		return
	}
	slices.Sort(differences)
	shown := differences[:min(len(differences), maxDifferences)]
	tb.Errorf("%d differences between %s (%d files) and %s (%d files):\n  %s",
		len(differences), want, len(wanted), got, len(found), strings.Join(shown, "\n  "))
}

// treeFiles gives all that is no directory, by its path below dir.
func treeFiles(tb testing.TB, dir string) map[string]fs.FileInfo {
	tb.Helper()
	files := map[string]fs.FileInfo{}
	must(tb, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		files[name], err = d.Info()
		return err
	}))
	return files
}

// firstDifference compares two files of one size; -1: they are equal.
func firstDifference(a, b string) (int64, error) {
	fa, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer fb.Close()
	const chunk = 256 << 10
	ba, bb := make([]byte, chunk), make([]byte, chunk)
	for at := int64(0); ; at += chunk {
		na, erra := io.ReadFull(fa, ba)
		nb, errb := io.ReadFull(fb, bb)
		if !bytes.Equal(ba[:na], bb[:nb]) {
			i := 0
			for i < min(na, nb) && ba[i] == bb[i] {
				i++
			}
			return at + int64(i), nil
		}
		if erra != nil || errb != nil {
			if ended(erra) && ended(errb) {
				return -1, nil
			}
			return 0, errors.Join(erra, errb)
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
