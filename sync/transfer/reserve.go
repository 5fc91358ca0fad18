package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// reservation is the room of one file, from before it is begun until its end.
type reservation struct {
	dir  string
	size int64                   // of the file
	need int64                   // bytes of room
	step int64                   // after so many bytes the room is looked at again; 0: never
	file atomic.Pointer[extents] // once it is begun
}

// left is what the file is to take still.
func (r *reservation) left() int64 {
	if x := r.file.Load(); x != nil {
		return max(0, x.source.Size-x.there.Load())
	}
	return r.need
}

// reserve makes sure that there is room for a file, as far as the destination
// can tell. Its error is a refusal, or the context's.
func (k *copier) reserve(ctx context.Context, f *finished) (*reservation, error) {
	e := f.file.Entry
	v := &reservation{dir: dirOf(f.file.Name), size: e.Size, need: e.Size}
	if last := f.file.Checkpoint; last != nil {
		v.need -= last.Prefix
	} else if f.client.o.InPlace && f.file.Replaces != nil {
		v.need -= f.file.Replaces.Size
	}
	v.need = max(0, v.need+roomUnit-1) &^ (roomUnit - 1)
	m := k.room
	if until := m.heldUntil(v, f.client.o.Mode.Ensures(), f.client.o.RoomHold); !until.IsZero() {
		return nil, refused(e, fmt.Sprintf("a file of this size, or a smaller one, found no room in its directory; it is tried again at %s, or on Apply", until.UTC().Format(time.RFC3339)))
	}
	d, ok := k.dst.(filesync.Roomer)
	if !ok {
		return v, nil
	}
	if answer, ok := m.known(v.dir); ok {
		if _, ok = m.take(v, answer); ok {
			return v, nil
		}
	}
	answer, err := k.askRoom(ctx, d, v.dir)
	if err != nil {
		return nil, err
	}
	left, ok := m.take(v, answer)
	if !ok {
		text := fmt.Sprintf("it needs %s, and %s are free", inBytes(v.need), inBytes(answer.Free))
		if others := answer.Free - reserveOf(answer.Room) - left; others > roomUnit {
			text += fmt.Sprintf(", less %s for files under way", inBytes(others))
		}
		if reserveOf(answer.Room) > 0 {
			text += fmt.Sprintf("; %s stay in reserve", inBytes(reserveOf(answer.Room)))
		}
		return nil, refused(e, text)
	}
	return v, nil
}

// askRoom has the destination tell the room of a directory, once for all copiers
// that want to know.
func (k *copier) askRoom(ctx context.Context, d filesync.Roomer, dir string) (roomOf, error) {
	asked := k.asking.DoChan(dir, func() (any, error) {
		m := k.room
		m.mu.Lock()
		begun, promised := m.begun, m.promised()
		m.mu.Unlock()
		room, err := d.Room(k.ctx, dir)
		if k.ctx.Err() != nil {
			return roomOf{}, context.Cause(k.ctx)
		}
		if err != nil {
			room = filesync.Room{}
		}
		return m.learn(dir, room, begun, promised), nil
	})
	select {
	case answer := <-asked:
		return answer.Val.(roomOf), answer.Err
	case <-ctx.Done():
		return roomOf{}, context.Cause(ctx)
	}
}

// refusal is why a file was not begun. It is ErrFull.
type refusal struct{ text string }

func (r *refusal) Error() string { return filesync.ErrFull.Error() + ": " + r.text }

func (r *refusal) Is(target error) bool { return target == filesync.ErrFull }

func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

func refused(e filesync.Entry, text string) error {
	return &status.Error{Word: status.DestinationUnavailable, Op: "copy", Target: e.Name, Err: &refusal{text}, Hint: hintRoom}
}

const hintRoom = "Free space at the destination; what fits is delivered meanwhile."

// dirOf is the directory of a name, "" for the root.
func dirOf(name string) string { return name[:max(0, strings.LastIndexByte(name, '/'))] }

// inBytes gives a number of bytes as people read it.
func inBytes(n int64) string {
	v := float64(n)
	for _, unit := range []string{"bytes", "kB", "MB", "GB", "TB"} {
		if v < 1000 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + unit
		}
		v /= 1000
	}
	return fmt.Sprintf("%.1f PB", v)
}
