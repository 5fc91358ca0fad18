package relay

import "time"

// oneByteEach is how far apart the bytes are on a line with OneByte: 10 kB/s.
const oneByteEach = 100 * time.Microsecond

// rateSteps is how often in a second a line with a limited rate hands on.
const rateSteps = 20

// Direction is one of the two directions of a line.
type Direction int

// Both is what Line.Only is unless it is said otherwise.
const (
	Both Direction = iota
	Up             // from the client to the server
	Down           // from the server to the client
)

// Line says how the line between clients and server is. The zero Line is a
// healthy one.
type Line struct {
	// Refuse: new connections are refused. Open ones are not touched.
	Refuse bool
	// Blackhole: bytes are taken and never handed on, and nothing is closed. A
	// connection that has lost bytes stays like that after the line is well
	// again, as no TCP connection ever goes on with a gap.
	Blackhole bool
	// Stall: nothing is read until the line is well again, so that senders feel
	// TCP's back pressure. Nothing is lost.
	Stall bool
	// OneByte: bytes are handed on one at a time, 10 kB/s at most.
	OneByte bool
	// Delay is how much later each byte arrives.
	Delay time.Duration
	// BytesPerSecond is the rate of each connection and direction; 0: no limit.
	BytesPerSecond int64
	// Only: all but Refuse is true of this direction alone.
	Only Direction
}

// of is the line as bytes in this direction meet it.
func (l Line) of(d Direction) Line {
	if l.Only != Both && l.Only != d {
		return Line{}
	}
	return l
}

// most is how many bytes are taken at once.
func (l Line) most() int {
	switch {
	case l.OneByte:
		return 1
	case l.BytesPerSecond > 0:
		return int(min(max(l.BytesPerSecond/rateSteps, 1), pieceSize))
	}
	return pieceSize
}

// pause is how long nothing more is taken after n bytes.
func (l Line) pause(n int) time.Duration {
	var pause time.Duration
	if l.BytesPerSecond > 0 {
		pause = time.Duration(int64(n) * int64(time.Second) / l.BytesPerSecond)
	}
	if l.OneByte {
		pause = max(pause, time.Duration(n)*oneByteEach)
	}
	return pause
}
