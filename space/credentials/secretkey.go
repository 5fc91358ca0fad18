package credentials

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"sftpconnector/config"
)

// AllSpaces in the list of a Key stands for every Space.
const AllSpaces = "*"

// Key is a secret key, with which a program may ask for credentials of some Spaces.
type Key struct {
	Name   string
	Secret config.Secret
	Spaces []string // ids, or AllSpaces
}

// Authorize gives the name of the key that bearer is, if that key opens the
// Space. A key that is wrong and one that is for other Spaces are the same to it,
// in the time it takes as well. Whether there is such a Space is not its business:
// the caller answers for an unknown one as if ok were false.
func Authorize(keys []Key, bearer, space string) (name string, ok bool) {
	given := sha256.Sum256([]byte(bearer))
	for _, k := range keys {
		has := sha256.Sum256([]byte(k.Secret.Reveal()))
		same := subtle.ConstantTimeCompare(given[:], has[:]) == 1
		opens := slices.Contains(k.Spaces, space) || slices.Contains(k.Spaces, AllSpaces)
		if same && opens && bearer != "" && space != "" && !ok {
			name, ok = k.Name, true
		}
	}
	return name, ok
}
