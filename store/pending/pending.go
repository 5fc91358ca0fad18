// Package pending names the files that are on their way at a destination, so
// that nobody takes them for finished, and a later pass knows its own among
// those of other programs.
package pending

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

const (
	end     = ".part"
	longest = 255 // bytes, of one component, on every usual file system

	// An id has three parts: the owner's name, the epoch, and random digits.
	nameLength, epochLength, randomLength = 12, 6, 8

	idLength = nameLength + epochLength + randomLength
	// An id of a program before epochs has 8 hexadecimal digits of the owner and 12 random.
	olderLength = 20
)

// digits are those of ids: the order of their bytes is that of their values, and capitals
// are not told apart.
var digits = base32.HexEncoding.WithPadding(base32.NoPadding)

// Owner marks the pending files of one connector of one ledger among those of others, who
// may deliver to the same directory. The zero Owner owns nothing.
type Owner struct{ name, epoch, older string }

// NewOwner gives the owner for a connector, by its name and the id of its ledger. The
// epoch is the one in which it is: a file of a later one is not its to sweep.
func NewOwner(ledger, connector string, epoch int64) Owner {
	whole := ledger + "/" + connector
	sum, h := sha256.Sum256([]byte(whole)), fnv.New32a()
	h.Write([]byte(whole))
	return Owner{
		name:  encode(sum[:])[:nameLength],
		epoch: encode(binary.BigEndian.AppendUint64(nil, uint64(epoch)<<(64-5*epochLength)))[:epochLength],
		older: fmt.Sprintf("%08x", h.Sum32()),
	}
}

func encode(b []byte) string { return strings.ToLower(digits.EncodeToString(b)) }

// NewID makes an id for a pending file.
func (o Owner) NewID() string {
	random := make([]byte, 5*randomLength/8)
	rand.Read(random)
	return o.name + o.epoch + encode(random)
}

// Sweeps reports whether the pending file of that id is one of the owner's, of this epoch
// or an earlier one.
func (o Owner) Sweeps(id string) bool {
	if len(id) == olderLength {
		return o.older != "" && strings.HasPrefix(id, o.older)
	}
	return o.name != "" && len(id) == idLength && id[:nameLength] == o.name && id[nameLength:nameLength+epochLength] <= o.epoch
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
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 1 || !strings.HasPrefix(name, ".") {
		return "", false
	}
	id := rest[dot+1:]
	switch len(id) {
	case idLength:
		ok = !strings.ContainsFunc(id, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'v') })
	case olderLength:
		_, err := hex.DecodeString(id)
		ok = err == nil
	default:
		ok = false
	}
	if !ok {
		return "", false
	}
	return id, true
}
