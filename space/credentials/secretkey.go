package credentials

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

// AllSpaces in the list of a Key stands for every Space.
const AllSpaces = "*"

// Key is a secret key, with which a program may ask for credentials of some
// Spaces. Nothing shows the secret: it is not kept.
type Key struct {
	Name   string
	Spaces []string // ids, or AllSpaces

	hash *[sha256.Size]byte // SHA-256 of the secret; fmt follows no pointer in a struct
}

// NewKey makes a Key. One without a secret opens nothing.
func NewKey(name, secret string, spaces []string) Key {
	hash := sha256.Sum256([]byte(secret))
	return Key{name, spaces, &hash}
}

// Authorize gives the name of the key that bearer is, if that key opens the
// Space. A key that is wrong and one that is for other Spaces are the same to it,
// in the time it takes as well. Whether there is such a Space is not its business:
// the caller answers for an unknown one as if ok were false.
func Authorize(keys []Key, bearer, space string) (name string, ok bool) {
	given := sha256.Sum256([]byte(bearer))
	for _, k := range keys {
		same := k.hash != nil && subtle.ConstantTimeCompare(given[:], k.hash[:]) == 1
		opens := slices.Contains(k.Spaces, space) || slices.Contains(k.Spaces, AllSpaces)
		if same && opens && bearer != "" && space != "" && !ok {
			name, ok = k.Name, true
		}
	}
	return name, ok
}
