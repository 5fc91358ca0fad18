package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
)

// packetOf makes an SFTP packet of a type with n bytes after that.
func packetOf(typ byte, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(n+1))
	return append(append(b, typ), make([]byte, n)...)
}

func TestNameFilter(t *testing.T) {
	stream := bytes.Join([][]byte{packetOf(2, 10), packetOf(typeName, 100), packetOf(103, 5000), packetOf(101, 0), packetOf(typeName, 7)}, nil)
	for name, r := range map[string]io.Reader{
		"whole":   bytes.NewReader(stream),
		"by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"by half": iotest.HalfReader(bytes.NewReader(stream)),
	} {
		over := 0
		f := &nameFilter{r: r}
		f.watch(106, func() { over++ })
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, stream) {
			t.Errorf("%s: the bytes are changed: %v", name, err)
		}
		if f.count != 107 || over != 1 {
			t.Errorf("%s: %d bytes of names, over %d times", name, f.count, over)
		}
	}
}

// The count does not depend on how the stream is cut, whatever is in it.
func FuzzNameFilter(f *testing.F) {
	f.Add(packetOf(typeName, 3), 1)
	f.Add([]byte{0, 0, 0, 0, typeName, 1, 2, 3}, 2)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		whole, parts := &nameFilter{}, &nameFilter{}
		whole.look(stream)
		cut = max(0, min(cut, len(stream)))
		parts.look(stream[:cut])
		parts.look(stream[cut:])
		if whole.count != parts.count || whole.have != parts.have || whole.left != parts.left {
			t.Errorf("%d bytes of names whole, %d cut at %d", whole.count, parts.count, cut)
		}
	})
}
