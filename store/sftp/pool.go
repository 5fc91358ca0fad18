package sftp

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const (
	// maxChannels is how many data channels pay: with one for control they
	// are the ten that OpenSSH, ProFTPD and AWS Transfer allow.
	maxChannels = 9
	// crowded is how much use of each channel makes another one pay. The fewer
	// channels many small requests share, the more of them fit into a packet.
	busyUses = 40
)

// lane is a port, the connection that it is on, and how much it is used.
type dataChannel struct {
	channel
	conn  *connection
	meter *meter
	load  int
}

// pool has the data channels: one at first, and more where they pay.
type pool struct {
	open   func(context.Context) (*dataChannel, error) // opens one more
	limits *Limits
	max    int
	ctx    context.Context // ends with the Source
	extra  int             // 1 where no control channel stands beside the data channels

	mu       sync.Mutex
	channels []*dataChannel
	opening  int
	lost     bool // the connection, while a lane was opened
}

// weight is how much of a channel reading so many bytes uses: a listing or a
// small file 1, a larger one 1 more for each packet of it.
func weight(bytes int64) int { return 1 + int(min(bytes, largeFile)/packet) }

// packet is what a large READ brings, about.
const packet = 256 << 10

// take gives the lane that is used least, for something of that weight, and has
// another one opened if all are crowded.
func (p *pool) acquire(weight int) *dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.leastUsed(nil)
	ch.load += weight
	if ch.load > busyUses && p.opening == 0 && p.mayGrow() {
		p.opening++
		go func() { _, _ = p.grow(p.ctx) }()
	}
	return ch
}

// team is the lanes that copy one file together. The pool guards it.
type channelSet struct{ channels []*dataChannel }

// join gives a team one more lane, for something of weight 1: one that is open,
// or a new one. It is nil when there is none.
func (p *pool) acquireMore(ctx context.Context, set *channelSet) *dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.leastUsed(set.channels)
	if ch == nil && p.mayGrow() {
		p.opening++
		p.mu.Unlock()
		ch, _ = p.grow(ctx)
		p.mu.Lock()
		if slices.Contains(set.channels, ch) { // another one was quicker to take it
			ch = p.leastUsed(set.channels)
		}
	}
	if ch != nil {
		ch.load++
		set.channels = append(set.channels, ch)
	}
	return ch
}

// give takes a lane back from something of that weight.
func (p *pool) release(ch *dataChannel, weight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch.load -= weight
}

// first gives the lane that was opened first.
func (p *pool) first() *dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channels[0]
}

// all gives the lanes there are.
func (p *pool) all() []*dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.channels)
}

func (p *pool) leastUsed(used []*dataChannel) (best *dataChannel) {
	for _, ch := range p.channels {
		if !slices.Contains(used, ch) && (best == nil || ch.load < best.load) {
			best = ch
		}
	}
	return best
}

// mayGrow is whether one more lane may be opened beside those that are being opened.
func (p *pool) mayGrow() bool {
	limit, known := p.limits.dataChannels()
	n := len(p.channels) + p.opening
	return n < p.max && (!known || n < limit+p.extra)
}

// grow opens one more lane, which opening counts already. A server that refuses
// is not asked again.
func (p *pool) grow(ctx context.Context) (*dataChannel, error) {
	ch, err := p.open(ctx)
	p.mu.Lock()
	p.opening--
	p.mu.Unlock()
	p.finishOpening(ctx, openResult{ch, err})
	return ch, err
}

// dialled is what came of opening a lane.
type openResult struct {
	channel *dataChannel
	err     error
}

// settle takes a lane that was opened, or learns from why it was not.
func (p *pool) finishOpening(ctx context.Context, d openResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := d.err
	switch {
	case err == nil:
		p.limits.lostOpening.Store(0)
		p.channels = append(p.channels, d.channel)
	case ctx.Err() != nil:
	case errors.Is(err, errLostOpening) && p.lost: // and counted
	case errors.Is(err, errLostOpening), errors.Is(err, context.DeadlineExceeded):
		p.lost = errors.Is(err, errLostOpening)
		// Chance, once; twice, it is what this server does to one channel more.
		if p.limits.lostOpening.Add(1) > 1 {
			p.limits.setDataChannels(max(0, len(p.channels)-p.extra))
		}
	default:
		p.limits.setDataChannels(max(0, len(p.channels)+p.opening-p.extra))
	}
}
