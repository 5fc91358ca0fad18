package schedule

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// Activity is how long things happen in a drawn schedule, before all faults end.
const Activity = 20 * time.Second

// Draw makes the schedule of a seed. The same seed gives the same schedule.
func Draw(seed uint64) Schedule {
	d := newDrawer(seed)
	d.place(1+d.r.IntN(3), d.r.IntN(3))
	d.daemon()
	return d.schedule()
}

// Endurance makes a schedule of many connectors and Spaces over a long time, in
// which each is hit by faults a tenth as often as in Draw. The daemon is ended
// only in the first half: what it leaks shows in the second.
func Endurance(seed uint64, activity time.Duration, connectors, spaces int) Schedule {
	d := newDrawer(seed)
	d.activity, d.rate, d.slow = activity, activity.Seconds()/Activity.Seconds()/10, 10
	d.place(connectors, spaces)
	d.activity, d.rate = activity/2, d.rate/2
	d.daemon()
	return d.schedule()
}

type drawer struct {
	r        *rand.Rand
	s        Schedule
	activity time.Duration
	rate     float64           // how many times as much happens
	slow     int               // by which factor intervals are longer
	sizes    int64             // sizes that were given out: each is given once
	faults   map[string][]Step // by kind and place, where no two are at the same time
}

func newDrawer(seed uint64) *drawer {
	return &drawer{r: rand.New(rand.NewPCG(seed, 0x5f7)), s: Schedule{Seed: seed}, activity: Activity, rate: 1, slow: 1, faults: map[string][]Step{}}
}

// place draws connectors and Spaces, and all that happens to them.
func (d *drawer) place(connectors, spaces int) {
	for i := range connectors {
		d.connector(fmt.Sprintf("c%d", i+1))
	}
	for i := range spaces {
		d.space(fmt.Sprintf("space%d", i+1))
	}
	d.disks("")
}

func (d *drawer) schedule() Schedule {
	slices.SortStableFunc(d.s.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return d.s
}

// times draws how often something happens: from least to most in a short run.
func (d *drawer) times(least, most int) int {
	n := float64(least+d.r.IntN(most-least+1)) * d.rate
	return int(n + d.r.Float64())
}

// likely is times for what happens in so many of a hundred short runs.
func (d *drawer) likely(percent int) int {
	return int(float64(percent)/100*d.rate + d.r.Float64())
}

func (d *drawer) add(s Step) { d.s.Steps = append(d.s.Steps, s) }

func (d *drawer) at() time.Duration {
	return time.Duration(d.r.Int64N(int64(d.activity))).Round(time.Millisecond)
}

// between draws a duration.
func (d *drawer) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(d.r.Int64N(int64(to-from)))).Round(time.Millisecond)
}

func (d *drawer) chance(percent int) bool { return d.r.IntN(100) < percent }

func pick[T any](d *drawer, of ...T) T { return of[d.r.IntN(len(of))] }

// fault adds a fault that lasts, unless one of its kind is under way there.
func (d *drawer) fault(s Step, from, to time.Duration) {
	s.For = d.between(from, to)
	s.At = d.at()
	key := string(s.Do) + " " + s.On
	for _, other := range d.faults[key] {
		if s.At < other.At+other.For && other.At < s.At+s.For {
			return
		}
	}
	d.faults[key] = append(d.faults[key], s)
	d.add(s)
}

// size draws the size of a file. No two of a schedule are the same, so that each
// version of a file can be told from the others.
func (d *drawer) size() int64 {
	d.sizes++
	const different = 16 << 10
	var size int64
	switch n := d.r.IntN(100); {
	case n < 50:
		size = d.r.Int64N(32 << 10)
	case n < 85:
		size = d.r.Int64N(512 << 10)
	case n < 97:
		size = d.r.Int64N(4 << 20)
	default:
		size = 10<<20 + d.r.Int64N(24<<20)
	}
	return size/different*different + d.sizes
}

func (d *drawer) connector(name string) {
	c := Connector{
		Name:           name,
		Direction:      pick(d, "download", "download", "download", "upload"),
		Server:         pick(d, "openssh", "sftpd", "sftpd"),
		AfterCopy:      pick(d, "leave", "leave", "delete", "move"),
		OnConflict:     pick(d, "fail", "fail", "overwrite"),
		Layout:         pick(d, "tree", "tree", "tree", "flat"),
		UploadName:     "pending",
		Connections:    pick(d, 0, 0, 0, 1, 4),
		Authentication: "key-pairs",
		Settle:         pick(d, time.Second, time.Second, 2*time.Second),
		Interval:       time.Duration(pick(d, 1, 2, 3)*d.slow) * time.Second,
	}
	if c.Server == "sftpd" {
		c.Authentication = pick(d, "key-pairs", "credentials")
	}
	switch {
	case c.Direction == "upload":
		c.UploadName = pick(d, "pending", "pending", "direct")
	case d.chance(8):
		c.Destination = "smb"
	default:
		c.Destination = "power"
	}
	d.s.Connectors = append(d.s.Connectors, c)
	d.files(c)
	d.asks(c)
	d.line(c)
	d.server(c)
	if c.Destination == "power" {
		d.disks(c.Name)
	}
	for range d.times(0, 1) {
		if c.Destination != "smb" {
			break
		}
		d.fault(Step{On: c.Name, Do: RestartShare}, 500*time.Millisecond, 4*time.Second)
	}
}

func (d *drawer) name() string {
	return pick(d, "", "a/", "b/", "b/c/") + fmt.Sprintf("f%d.%s", d.r.IntN(7), pick(d, "csv", "csv", "xml"))
}

// files draws what happens to the files of a source, and to their copies.
func (d *drawer) files(c Connector) {
	for range d.times(8, 24) {
		s := Step{At: d.at(), On: c.Name, Path: d.name(), Size: d.size()}
		switch n := d.r.IntN(100); {
		case n < 35:
			s.Do = Write
		case n < 60:
			s.Do = Publish
		case n < 75:
			s.Do, s.Part = Grow, 2+d.r.IntN(6)
			// Some of the parts stand long enough to be delivered by themselves, unless
			// what is delivered is removed under its writer.
			gap := d.between(c.Settle/10, c.Settle*2)
			if c.Takes() {
				gap = d.between(c.Settle/10, c.Settle/2)
			}
			s.For = gap * time.Duration(s.Part)
		case n < 82:
			s.Do = Remove
		case n < 90:
			s.Do, s.To = Rename, d.name()
		case n < 94:
			s.Do = Directory
		case n < 97:
			s.Do, s.To = Link, d.name()
		case n < 99:
			s.Do = Take
		default:
			s.Do = Plant
		}
		d.add(s)
	}
}

// asks draws what clients ask of a connector.
func (d *drawer) asks(c Connector) {
	if c.Direction == "download" {
		for range d.times(0, 3) {
			d.add(Step{At: d.at(), On: c.Name, Do: Request, Path: pick(d, "*", "*.csv", "f1*")})
		}
	}
	for range d.likely(40) {
		d.add(Step{At: d.at(), On: c.Name, Do: Apply})
	}
}

// line draws faults of the line to a server.
func (d *drawer) line(c Connector) {
	for range d.times(0, 3) {
		s := Step{On: c.Name, Do: pick(d, Reset, ResetAfter, HalfOpen, Stall, OneByte, Refuse)}
		switch s.Do {
		case Reset:
			s.At = d.at()
			d.add(s)
		case ResetAfter:
			s.At, s.Size = d.at(), d.r.Int64N(1<<pick(d, 8, 12, 16, 20, 23))
			d.add(s)
		default:
			d.fault(s, time.Second, 8*time.Second)
		}
	}
}

// server draws faults of a server.
func (d *drawer) server(c Connector) {
	for range d.likely(35) {
		d.fault(Step{On: c.Name, Do: pick(d, Restart, ChangeKey, ChangePassword, RefuseLogins, RefuseSessions)}, 500*time.Millisecond, 5*time.Second)
	}
	if c.Server != "sftpd" {
		return
	}
	for range d.times(0, 4) {
		m := pick(d, misbehaviours(c.Direction)...)
		d.fault(Step{On: c.Name, Do: Misbehave, Op: m.kind, Code: m.code, Each: 1 + d.r.IntN(12), Done: d.chance(50)}, 500*time.Millisecond, 6*time.Second)
	}
}

// misbehaviour is a kind of fault of package sftpd.
type misbehaviour struct {
	kind string
	code int
}

// misbehaviours are those that a program can do something about. One that says of
// what it has that it is not there is taken at its word, and so is one that tells
// once of another time under which an upload stands.
func misbehaviours(direction string) []misbehaviour {
	all := []misbehaviour{
		{"fail", 3}, {"fail", 4}, {"fail", 4}, {"fail", 5}, {"fail", 6}, {"fail", 7}, {"fail", 8}, {"fail", 11}, {"fail", 14},
		{"hang", 0}, {"delay", 0}, {"short read", 0}, {"empty read", 0}, {"long read", 0}, {"drop write", 4},
		{"wrong id", 0}, {"wrong type", 0}, {"double", 0}, {"out of order", 0}, {"same handle", 0},
		{"garbage", 0}, {"huge length", 0}, {"close channel", 0}, {"close connection", 0},
		{"no type", 0},
	}
	if direction == "upload" {
		return all
	}
	return append(all, []misbehaviour{{"other size", 0}, {"other time", 0}, {"no size", 0}, {"no time", 0}}...)
}

// disks draws faults of a destination, or of the data directory.
func (d *drawer) disks(of string) {
	for range d.times(0, 2) {
		s := Step{On: of, Do: pick(d, Full, ReadOnly, DiskFail, DiskFail, DiskSlow), Each: 1 + d.r.IntN(5)}
		if s.Do == DiskFail || s.Do == DiskSlow {
			s.Op = pick(d, "write", "fsync", "rename", "create", "mkdir", "unlink", "fsyncdir", "setattr")
			s.Code = int(pick(d, syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES))
		}
		d.fault(s, 300*time.Millisecond, 5*time.Second)
	}
	if of == "" {
		return
	}
	for range d.likely(20) {
		code := pick(d, syscall.ESTALE, syscall.EIO, syscall.EHOSTDOWN, syscall.ENOTCONN)
		d.fault(Step{On: of, Do: Away, Code: int(code)}, 300*time.Millisecond, 5*time.Second)
	}
}

// daemon draws faults of the daemon, of the ledger and of receivers.
func (d *drawer) daemon() {
	for range d.times(0, 3) {
		s := Step{Do: pick(d, Kill, Kill, Kill, Stop, Term, Reload)}
		switch s.Do {
		case Reload:
			s.At = d.at()
			d.add(s)
		default:
			d.fault(s, 0+time.Millisecond, 3*time.Second)
		}
	}
	for range d.likely(40) {
		d.fault(Step{Do: PowerCut}, time.Millisecond, time.Second)
	}
	for range d.likely(15) {
		d.fault(Step{Do: LockLedger}, 200*time.Millisecond, 8*time.Second)
	}
	for range d.likely(8) {
		d.fault(Step{Do: GarbleLedger, Op: pick(d, "truncate", "header")}, time.Second, 2*time.Second)
	}
	for range d.likely(30) {
		d.fault(Step{Do: ReceiverFails}, time.Second, 8*time.Second)
	}
	for range d.likely(10) {
		d.add(Step{At: d.at(), Do: Clock, For: pick(d, -3*time.Hour, -time.Hour, time.Hour, 26*time.Hour)})
	}
}

func (d *drawer) space(id string) {
	s := Space{ID: id, SameName: pick(d, "replace", "keep-both")}
	if (d.s.Seed+uint64(len(d.s.Spaces)))%2 == 0 {
		s.Destination = "spool"
	}
	d.s.Spaces = append(d.s.Spaces, s)
	for range d.times(3, 10) {
		u := Step{At: d.at(), On: id, Do: Upload, Path: pick(d, "", "in/") + fmt.Sprintf("u%d.csv", d.r.IntN(4)), Size: d.size()}
		if d.chance(20) {
			u.Part = 1
		}
		d.add(u)
	}
	if d.rate > 1 || d.chance(60) {
		d.disks(id)
	}
}
