package credentials

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Prefix begins every password, so that people and scanners for secrets know
// one when they see it.
const Prefix = "sftp_"

// Errors that callers decide on.
var (
	// ErrRefused is all that Check says of a password that opens nothing.
	ErrRefused = errors.New("no such password")
	// ErrNotFound: there is nothing to revoke.
	ErrNotFound = errors.New("no such credentials")
)

// defaultLive is how many passwords of a Space work side by side.
const defaultLive = 8

// maxPassword bounds how many bytes of a password are looked at. Ours are much shorter.
const maxPassword = 1024

// Options are where a Store keeps its documents, and how long passwords live.
type Options struct {
	Records Storage          // the passwords' HMACs
	Key     Storage          // the key of the HMACs: 32 random bytes, made at the first start
	Live    int              // how many passwords of a Space work at most; 0: 8
	Expiry  time.Duration    // after which a new password works no more; 0: never
	Now     func() time.Time // nil: time.Now
}

// Info is what may be told of a password.
type Info struct {
	ID       string    `json:"id"`
	Created  time.Time `json:"created"`
	By       string    `json:"by,omitempty"` // the name of the secret key that fetched it; "" for an operator
	LastUsed time.Time `json:"last_used,omitzero"`
	Expires  time.Time `json:"expires,omitzero"` // zero: never
}

// live reports whether the password still works.
func (i Info) live(now time.Time) bool { return i.Expires.IsZero() || now.Before(i.Expires) }

// recent is when there last was a sign that somebody has the password.
func (i Info) recent() time.Time {
	if i.LastUsed.After(i.Created) {
		return i.LastUsed
	}
	return i.Created
}

// Created is a new password, which is to be had this once. Printing, logging or
// marshalling it shows all but the password.
type Created struct {
	Info
	Space   string `json:"space"`
	Dropped []Info `json:"dropped,omitempty"` // those that had to go for it

	password *string // fmt shows unexported fields too, but follows no pointer in them
}

// Password gives the password itself.
func (c Created) Password() string {
	if c.password == nil {
		return ""
	}
	return *c.password
}

// Store keeps the passwords of all Spaces in a document, each as
// HMAC-SHA-256(key, Space, 0, password): they are random, so that a slow hash
// would only let guesses burn memory. Other processes may change it at the
// same time; every call sees what they did. A Store may be used concurrently.
// Close it at the end.
type Store struct {
	o       Options
	key     [keySize]byte
	editing chan struct{} // holds one change at a time

	mu     sync.Mutex
	seen   string               // the version that was read last; "": there is none
	broken error                // what is wrong with that
	known  map[string][]record  // what it has, by Space, oldest first
	used   map[string]time.Time // uses that it does not have yet, by id
	note   *time.Timer          // will write them; nil: nobody will
	noting sync.WaitGroup
	closed bool
}

// Open reads the records, and makes the key on the first start. Records that cannot be
// understood, or whose key is missing, are an error and left as they are.
func Open(o Options) (*Store, error) {
	if o.Live == 0 {
		o.Live = defaultLive
	}
	if o.Live < 0 || o.Expiry < 0 {
		return nil, fmt.Errorf("open credentials: %d live ones, expiry %v: neither may be negative", o.Live, o.Expiry)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{o: o, editing: make(chan struct{}, 1), used: map[string]time.Time{}}
	if err := s.loadKey(); err != nil {
		return nil, fmt.Errorf("open credentials: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, fmt.Errorf("open credentials: %w", err)
	}
	return s, nil
}

// SetExpiry changes after which time new passwords work no more; 0: never.
// Those that there are keep theirs.
func (s *Store) SetExpiry(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Expiry = d
}

// Format shows the name only, whatever the verb: the key stands in a Store.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "credentials "+s.o.Records.String())
}

// Create makes a password for the Space: 130 random bits in upper case letters
// and digits after the Prefix, which need no quotes anywhere. It works from when
// Create returns, and a crash does not lose it. The others stay, but at most Live
// work at a time: those that were not used for the longest time go. by is the
// name of the secret key that asks for it, "" for an operator. A key makes room
// among what it has fetched itself, if there is any: a program that fetches one
// each time it runs does not use up those that people have saved.
func (s *Store) Create(ctx context.Context, space, by string) (Created, error) {
	if err := checkSpace(space); err != nil {
		return Created{}, fmt.Errorf("create credentials: %w", err)
	}
	now, password := s.now(), Prefix+rand.Text()
	c := Created{Space: space, password: &password}
	c.Info.Created, c.By = now, by
	s.mu.Lock()
	if s.o.Expiry > 0 {
		c.Expires = now.Add(s.o.Expiry)
	}
	s.mu.Unlock()
	err := s.edit(ctx, func(records []record) ([]record, error) {
		c.ID = newID(records)
		records, c.Dropped = makeRoom(records, space, by, s.o.Live-1)
		return append(records, record{space, c.Info, s.digest(space, []byte(password))}), nil
	})
	if err != nil {
		return Created{}, fmt.Errorf("create credentials of %s: %w", space, err)
	}
	return c, nil
}

// Check gives the id of the password, or ErrRefused if it does not work for the
// Space. How long it takes tells neither whether the Space has passwords nor
// which one was nearly right. Any other error means that the file cannot be
// read: then nobody gets in.
func (s *Store) Check(space string, password []byte) (id string, err error) {
	sum := s.digest(space, password[:min(len(password), maxPassword)])
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return "", fmt.Errorf("check password: %w", err)
	}
	records, found, now := s.known[space], -1, s.now()
	for i := range max(len(records), s.o.Live) {
		var r record
		if i < len(records) {
			r = records[i]
		}
		if subtle.ConstantTimeCompare(sum[:], r.HMAC[:]) == 1 && i < len(records) && r.live(now) {
			found = i
		}
	}
	if found < 0 {
		return "", ErrRefused
	}
	s.noteUse(records[found].ID, now)
	return records[found].ID, nil
}

// List gives the Space's passwords that work, oldest first. Uses noted by
// another process may be missing for a minute.
func (s *Store) List(space string) ([]Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	var list []Info
	for _, r := range s.withUses(s.known[space]) {
		if r.live(s.now()) {
			list = append(list, r.Info)
		}
	}
	return list, nil
}

// Revoke ends the password id of the Space, or with "" all that work, and gives
// those it ended: they open nothing from when it returns, here and in other
// processes. It is ErrNotFound when there are none.
func (s *Store) Revoke(ctx context.Context, space, id string) ([]Info, error) {
	var revoked []Info
	err := s.edit(ctx, func(records []record) ([]record, error) {
		revoked = nil
		records = slices.DeleteFunc(records, func(r record) bool {
			gone := r.Space == space && (id == "" || r.ID == id)
			if gone {
				revoked = append(revoked, r.Info)
			}
			return gone
		})
		if revoked == nil {
			return nil, ErrNotFound
		}
		return records, nil
	})
	switch {
	case err != nil && id == "":
		return nil, fmt.Errorf("revoke credentials of %q: %w", space, err)
	case err != nil:
		return nil, fmt.Errorf("revoke credentials %q of %q: %w", id, space, err)
	}
	return revoked, nil
}

// Close writes the uses that were only noted. The Store still answers
// afterwards, but notes no more.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.note != nil && s.note.Stop() {
		s.noting.Done()
	}
	left := len(s.used)
	s.mu.Unlock()
	s.noting.Wait()
	if left == 0 {
		return nil
	}
	return s.writeUses()
}

// digest is all that is kept of a password. No Space has a zero byte in its name.
func (s *Store) digest(space string, password []byte) digest {
	h := hmac.New(sha256.New, s.key[:])
	io.WriteString(h, space)
	h.Write([]byte{0})
	h.Write(password)
	return digest(h.Sum(nil))
}

// now is the time as the file has it.
func (s *Store) now() time.Time { return s.o.Now().UTC().Truncate(time.Millisecond) }

// makeRoom leaves the Space no more than so many, and gives those that went: of
// a key its own first, then those that were not used for the longest time.
func makeRoom(records []record, space, by string, leave int) (kept []record, dropped []Info) {
	var own []Info
	for _, r := range records {
		if r.Space == space {
			own = append(own, r.Info)
		}
	}
	foreign := func(i Info) int {
		if by == "" || i.By == by {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(own, func(a, b Info) int {
		return cmp.Or(cmp.Compare(foreign(a), foreign(b)), a.recent().Compare(b.recent()))
	})
	dropped = own[:max(0, len(own)-leave)]
	return slices.DeleteFunc(records, func(r record) bool {
		return slices.ContainsFunc(dropped, func(i Info) bool { return i.ID == r.ID })
	}), dropped
}

// newID gives one that no record has. It says nothing of the password.
func newID(records []record) string {
	for {
		id := strings.ToLower(rand.Text()[:idLength])
		if !slices.ContainsFunc(records, func(r record) bool { return r.ID == id }) {
			return id
		}
	}
}
