package sftp

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const (
	// maxChannels is how many data channels pay. With one for control they are the ten
	// that OpenSSH, ProFTPD and AWS Transfer allow.
	maxChannels = 9
	// busyUses is the load of each channel from which on another one pays. The fewer
	// channels share many small requests, the more of these fit into a packet.
	busyUses = 40
)

// dataChannel is a channel, its connection and its load.
type dataChannel struct {
	channel
	conn  *connection
	meter *meter
	load  int
}

// pool has the data channels of a session: one at first, and more where they pay.
type pool struct {
	open   func(context.Context) (*dataChannel, error) // opens one more channel
	limits *Limits
	max    int
	ctx    context.Context // ends with the session
	extra  int             // 1 where there is no control channel, which leaves room for one more

	mu       sync.Mutex
	channels []*dataChannel
	opening  int
	lost     bool // the connection was lost while a channel was opened
}

// weight is the load that reading so many bytes puts on a channel: 1 for a listing or a
// small file, and 1 more for each packet of a larger file.
func weight(bytes int64) int { return 1 + int(min(bytes, largeFile)/packet) }

// packet is about what a large READ brings, in bytes.
const packet = 256 << 10

// acquire gives the channel with the least load, and adds weight to it. It has another
// channel opened if all are busy.
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

// channelSet is the channels that copy one file together. The pool guards it.
type channelSet struct{ channels []*dataChannel }

// acquireMore adds a channel to a set, with a weight of 1: one that is open, or a new
// one. It gives nil when there is none.
func (p *pool) acquireMore(ctx context.Context, set *channelSet) *dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.leastUsed(set.channels)
	if ch == nil && p.mayGrow() {
		p.opening++
		p.mu.Unlock()
		ch, _ = p.grow(ctx)
		p.mu.Lock()
		if slices.Contains(set.channels, ch) { // another call has added it
			ch = p.leastUsed(set.channels)
		}
	}
	if ch != nil {
		ch.load++
		set.channels = append(set.channels, ch)
	}
	return ch
}

// release takes weight off a channel.
func (p *pool) release(ch *dataChannel, weight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch.load -= weight
}

// first gives the channel that was opened first.
func (p *pool) first() *dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channels[0]
}

// all gives the open channels.
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

// mayGrow reports whether one more channel may be opened beside those that are being
// opened. The caller holds p.mu.
func (p *pool) mayGrow() bool {
	limit, known := p.limits.dataChannels()
	n := len(p.channels) + p.opening
	return n < p.max && (!known || n < limit+p.extra)
}

// grow opens one more channel. The caller has counted it in p.opening. A server that
// has refused is not asked again.
func (p *pool) grow(ctx context.Context) (*dataChannel, error) {
	ch, err := p.open(ctx)
	p.mu.Lock()
	p.opening--
	p.mu.Unlock()
	p.finishOpening(ctx, openResult{ch, err})
	return ch, err
}

// openResult is what came of opening a channel.
type openResult struct {
	channel *dataChannel
	err     error
}

// finishOpening adds a channel that was opened, or learns from the failure.
func (p *pool) finishOpening(ctx context.Context, d openResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := d.err
	switch {
	case err == nil:
		p.limits.lostOpening.Store(0)
		p.channels = append(p.channels, d.channel)
	case ctx.Err() != nil:
	case errors.Is(err, errLostOpening) && p.lost: // it was counted already
	case errors.Is(err, errLostOpening), errors.Is(err, context.DeadlineExceeded):
		p.lost = errors.Is(err, errLostOpening)
		// One loss may be chance. Two mean that this server does so for one channel
		// more.
		if p.limits.lostOpening.Add(1) > 1 {
			p.limits.setDataChannels(max(0, len(p.channels)-p.extra))
		}
	default:
		p.limits.setDataChannels(max(0, len(p.channels)+p.opening-p.extra))
	}
}
