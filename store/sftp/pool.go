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
	crowded = 40
)

// lane is a port, the connection that it is on, and how much it is used.
type lane struct {
	port
	conn  *connection
	meter *meter
	uses  int
}

// pool has the data channels: one at first, and more where they pay.
type pool struct {
	dial   func(context.Context) (*lane, error) // opens one more
	limits *Limits
	max    int
	life   context.Context // ends with the Source
	alone  int             // 1 where no control channel stands beside the data channels

	mu      sync.Mutex
	lanes   []*lane
	opening int
	lost    bool // the connection, while a lane was opened
}

// weight is how much of a channel reading so many bytes uses: a listing or a
// small file 1, a larger one 1 more for each packet of it.
func weight(bytes int64) int { return 1 + int(min(bytes, largeFile)/packet) }

// packet is what a large READ brings, about.
const packet = 256 << 10

// take gives the lane that is used least, for something of that weight, and has
// another one opened if all are crowded.
func (p *pool) take(weight int) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.idlest(nil)
	l.uses += weight
	if l.uses > crowded && p.opening == 0 && p.mayGrow() {
		p.opening++
		go func() { _, _ = p.grow(p.life) }()
	}
	return l
}

// team is the lanes that copy one file together. The pool guards it.
type team struct{ lanes []*lane }

// join gives a team one more lane, for something of weight 1: one that is open,
// or a new one. It is nil when there is none.
func (p *pool) join(ctx context.Context, t *team) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.idlest(t.lanes)
	if l == nil && p.mayGrow() {
		p.opening++
		p.mu.Unlock()
		l, _ = p.grow(ctx)
		p.mu.Lock()
		if slices.Contains(t.lanes, l) { // another one was quicker to take it
			l = p.idlest(t.lanes)
		}
	}
	if l != nil {
		l.uses++
		t.lanes = append(t.lanes, l)
	}
	return l
}

// give takes a lane back from something of that weight.
func (p *pool) give(l *lane, weight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.uses -= weight
}

// first gives the lane that was opened first.
func (p *pool) first() *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lanes[0]
}

// all gives the lanes there are.
func (p *pool) all() []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lanes)
}

func (p *pool) idlest(used []*lane) (best *lane) {
	for _, l := range p.lanes {
		if !slices.Contains(used, l) && (best == nil || l.uses < best.uses) {
			best = l
		}
	}
	return best
}

// mayGrow is whether one more lane may be opened beside those that are being opened.
func (p *pool) mayGrow() bool {
	limit, known := p.limits.dataChannels()
	n := len(p.lanes) + p.opening
	return n < p.max && (!known || n < limit+p.alone)
}

// grow opens one more lane, which opening counts already. A server that refuses
// is not asked again.
func (p *pool) grow(ctx context.Context) (*lane, error) {
	l, err := p.dial(ctx)
	p.mu.Lock()
	p.opening--
	p.mu.Unlock()
	p.settle(ctx, dialled{l, err})
	return l, err
}

// dialled is what came of opening a lane.
type dialled struct {
	l   *lane
	err error
}

// settle takes a lane that was opened, or learns from why it was not.
func (p *pool) settle(ctx context.Context, d dialled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := d.err
	switch {
	case err == nil:
		p.limits.dropped.Store(0)
		p.lanes = append(p.lanes, d.l)
	case ctx.Err() != nil:
	case errors.Is(err, errDropped) && p.lost: // and counted
	case errors.Is(err, errDropped), errors.Is(err, context.DeadlineExceeded):
		p.lost = errors.Is(err, errDropped)
		// Chance, once; twice, it is what this server does to one channel more.
		if p.limits.dropped.Add(1) > 1 {
			p.limits.setDataChannels(max(0, len(p.lanes)-p.alone))
		}
	default:
		p.limits.setDataChannels(max(0, len(p.lanes)+p.opening-p.alone))
	}
}
