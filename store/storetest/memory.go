package storetest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"
	"sync"
	"time"

	filesync "sftpconnector/sync"
)

// Memory is a source in memory. Its exported hooks may be set before it is
// used; its methods may be called concurrently.
type Memory struct {
	// OnList, OnFetch and OnRemove may fail an operation; nil means none does.
	// OnFetch is called before each block.
	OnList   func(dir string) error
	OnFetch  func(e filesync.Entry, off int64) error
	OnRemove func(e filesync.Entry) error
	// OnStat may have the look at a file by its name fail.
	OnStat func(name string) error
	// Says changes what Fetch reports after the last byte; nil changes nothing.
	Says func(e filesync.Entry) filesync.Entry
	// Block is the size of the writes of Fetch; 0 means all at once.
	Block int
	// Versions gives each file that is put a version of its own, as a spool does.
	Versions bool

	mu      sync.Mutex
	files   map[string]memoryFile
	links   map[string]string           // path → target below the root
	raw     map[string][]filesync.Entry // listed as they are, whatever they say
	fetches int
	puts    int
	closed  bool
}

type memoryFile struct {
	data    []byte
	mod     time.Time
	version string
}

var (
	_ filesync.Source   = (*Memory)(nil)
	_ filesync.Consumer = (*Memory)(nil)
	_ filesync.Linker   = (*Memory)(nil)
)

// NewMemory returns an empty source.
func NewMemory() *Memory {
	return &Memory{files: map[string]memoryFile{}, links: map[string]string{}, raw: map[string][]filesync.Entry{}}
}

// Put adds or replaces a file.
func (m *Memory) Put(name, data string, mod time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := memoryFile{data: []byte(data), mod: mod}
	if m.puts++; m.Versions {
		f.version = fmt.Sprint(m.puts)
	}
	m.files[name] = f
}

// Link adds a symbolic link to a path below the root; "" leads outside.
func (m *Memory) Link(name, target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links[name] = target
}

// Inject lists an entry of dir as it is.
func (m *Memory) Inject(dir string, e filesync.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raw[dir] = append(m.raw[dir], e)
}

// Delete removes a file.
func (m *Memory) Delete(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
}

// Read implements Host.
func (m *Memory) Read(name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	return string(f.data), ok
}

// Has reports whether the file is there.
func (m *Memory) Has(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.files[name]
	return ok
}

// Len is how many files there are.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.files)
}

// Fetches is how often a file was opened.
func (m *Memory) Fetches() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fetches
}

// Closed reports whether the source was closed.
func (m *Memory) Closed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Open gives the source itself, as a connection that was opened anew.
func (m *Memory) Open(context.Context) (filesync.Source, error) { return m, nil }

// Probe implements connector.Source.
func (m *Memory) Probe(context.Context) error { return nil }

// List implements sync.Lister.
func (m *Memory) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		if m.OnList != nil {
			if err := m.OnList(dir); err != nil {
				yield(filesync.Entry{}, err)
				return
			}
		}
		for _, e := range m.entries(dir) {
			if ctx.Err() != nil {
				yield(filesync.Entry{}, ctx.Err())
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *Memory) entries(dir string) []filesync.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix, below := dir+"/", m.real(dir)+"/"
	if dir == "" {
		prefix, below = "", ""
	}
	entries := append([]filesync.Entry(nil), m.raw[dir]...)
	seen := map[string]bool{}
	for name, f := range m.files {
		rest, ok := strings.CutPrefix(name, below)
		if !ok {
			continue
		}
		first, _, deeper := strings.Cut(rest, "/")
		switch {
		case !deeper:
			entries = append(entries, entry(prefix+rest, f))
		case !seen[first]:
			seen[first] = true
			entries = append(entries, filesync.Entry{Name: prefix + first, Mode: fs.ModeDir | 0o755})
		}
	}
	for name := range m.links {
		if rest, ok := strings.CutPrefix(name, below); ok && !strings.Contains(rest, "/") {
			entries = append(entries, filesync.Entry{Name: prefix + rest, Mode: fs.ModeSymlink | 0o777})
		}
	}
	return entries
}

func entry(name string, f memoryFile) filesync.Entry {
	return filesync.Entry{Name: name, Size: int64(len(f.data)), ModTime: f.mod, Version: f.version, Mode: 0o644}
}

// real follows links in a path.
func (m *Memory) real(name string) string {
	for range 16 {
		for link, target := range m.links {
			if name == link || strings.HasPrefix(name, link+"/") {
				name = path.Join(target, strings.TrimPrefix(name, link))
			}
		}
	}
	return name
}

// Resolve implements sync.Linker.
func (m *Memory) Resolve(_ context.Context, e filesync.Entry) (filesync.Entry, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	real := m.real(e.Name)
	if real == "" {
		return e, "", filesync.ErrOutside
	}
	if f, ok := m.files[real]; ok {
		return entry(e.Name, f), real, nil
	}
	for name := range m.files {
		if strings.HasPrefix(name, real+"/") {
			return filesync.Entry{Name: e.Name, Mode: fs.ModeDir | 0o755}, real, nil
		}
	}
	return e, "", fs.ErrNotExist
}

// Stat implements sync.Source.
func (m *Memory) Stat(_ context.Context, names []string) ([]filesync.StatResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stats := make([]filesync.StatResult, len(names))
	for i, name := range names {
		if m.OnStat != nil {
			if stats[i].Err = m.OnStat(name); stats[i].Err != nil {
				continue
			}
		}
		f, ok := m.files[m.real(name)]
		if !ok {
			stats[i].Err = fs.ErrNotExist
			continue
		}
		stats[i].Entry = entry(name, f)
	}
	return stats, nil
}

// Fetch implements sync.Source.
func (m *Memory) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	m.mu.Lock()
	m.fetches++
	f, ok := m.files[m.real(e.Name)]
	m.mu.Unlock()
	if !ok {
		return filesync.Entry{}, fs.ErrNotExist
	}
	if f.version != e.Version {
		return filesync.Entry{}, filesync.ErrChanged
	}
	block := int64(m.Block)
	if block == 0 {
		block = e.Size + 1
	}
	for off := from; off < e.Size || off == 0 && e.Size == 0; off += block {
		if m.OnFetch != nil {
			if err := m.OnFetch(e, off); err != nil {
				return filesync.Entry{}, err
			}
		}
		if ctx.Err() != nil {
			return filesync.Entry{}, ctx.Err()
		}
		end := min(off+block, e.Size)
		if end > int64(len(f.data)) {
			return filesync.Entry{}, filesync.ErrChanged
		}
		if _, err := w.WriteAt(f.data[off:end], off); err != nil {
			return filesync.Entry{}, err
		}
	}
	m.mu.Lock()
	now := entry(e.Name, m.files[m.real(e.Name)])
	m.mu.Unlock()
	if m.Says != nil {
		now = m.Says(now)
	}
	return now, nil
}

// RemoveIf implements sync.Consumer.
func (m *Memory) RemoveIf(_ context.Context, e filesync.Entry) error {
	return m.consume(e, func(memoryFile) { delete(m.files, e.Name) })
}

// MoveIf implements sync.Consumer.
func (m *Memory) MoveIf(_ context.Context, e filesync.Entry, dir string) error {
	return m.consume(e, func(f memoryFile) {
		to := path.Join(dir, e.Name)
		for _, stands := m.files[to]; stands; _, stands = m.files[to] {
			to += " (again)"
		}
		delete(m.files, e.Name)
		m.files[to] = f
	})
}

func (m *Memory) consume(e filesync.Entry, do func(memoryFile)) error {
	if m.OnRemove != nil {
		if err := m.OnRemove(e); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[e.Name]
	switch {
	case !ok:
		return fs.ErrNotExist
	case !entry(e.Name, f).SameVersion(e):
		return filesync.ErrChanged
	}
	do(f)
	return nil
}

// Close implements sync.Source.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// Locate implements sync.Locator: what lies behind a link is outside.
func (m *Memory) Locate(_ context.Context, dir string) (name string, inside bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for link := range m.links {
		if dir == link || strings.HasPrefix(dir, link+"/") {
			return "", false, nil
		}
	}
	return dir, true, nil
}
