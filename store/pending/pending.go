// Package pending names the files that are on their way at a destination, so
// that nobody takes them for finished, and a later pass knows its own among
// those of other programs.
package pending

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

const (
	end      = ".part"
	idLength = 20  // 8 of the owner, 12 random
	longest  = 255 // bytes, of one component, on every usual file system
)

// NewID makes an id for a pending file. It begins with owner: 8 hexadecimal digits.
func NewID(owner string) string {
	random := make([]byte, (idLength-len(owner))/2)
	rand.Read(random)
	return owner + hex.EncodeToString(random)
}

// Name is the hidden name under which base, one component, is written:
// .base.ID.part. It has at most 255 bytes: a base that is too long for that is
// cut, and told apart by a hash.
func Name(base, id string) string {
	room := longest - len(".") - len(".") - len(id) - len(end)
	if len(base) > room {
		h := fnv.New64a()
		h.Write([]byte(base))
		tail := fmt.Sprintf("~%016x", h.Sum64())
		cut := room - len(tail)
		for cut > 0 && !utf8.RuneStart(base[cut]) {
			cut--
		}
		base = base[:cut] + tail
	}
	return "." + base + "." + id + end
}

// ID gives the id in the name, one component, of a pending file; false when
// that is not what Name makes.
func ID(name string) (string, bool) {
	rest, ok := strings.CutSuffix(name, end)
	if !ok || !strings.HasPrefix(name, ".") || len(rest) < idLength+2 || rest[len(rest)-idLength-1] != '.' {
		return "", false
	}
	id := rest[len(rest)-idLength:]
	if _, err := hex.DecodeString(id); err != nil {
		return "", false
	}
	return id, true
}
