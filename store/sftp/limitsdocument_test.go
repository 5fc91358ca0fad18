package sftp

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// restarted is what the next start of the program knows of a server.
func restarted(t *testing.T, l *Limits) *Limits {
	t.Helper()
	document := l.Document(time.Now())
	if document == nil {
		t.Fatal("nothing was learnt")
	}
	next := new(Limits)
	next.Restore(document)
	return next
}

// The first pass after a restart does not meet again what the last one has learnt.
func TestLimitsOutlastTheProgram(t *testing.T) {
	const files = 40 // fewer than are opened before a higher limit is tried
	logins := func(c sftptest.Counts) int { return c.Logins }
	for name, test := range map[string]struct {
		faults sftptest.Faults
		cost   func(sftptest.Counts) int
		want   int // the second time; 0: fewer than the first time
	}{
		"a second channel ends the connection": {sftptest.Faults{DieAtChannel: 2}, logins, 1},
		"many handles end the connection": {
			sftptest.Faults{DieAtHandles: 12, ConnectionDies: true, MaxChannels: 1, Delay: time.Millisecond}, logins, 1},
		"an OPEN too many is refused": {
			sftptest.Faults{MaxOpenFiles: 3, MaxChannels: 1, Delay: time.Millisecond},
			func(c sftptest.Counts) int { return c.Ops[sftptest.OpOpen] }, files},
		"a long READ is refused": {
			sftptest.Faults{RefuseReadOver: 32 << 10, MaxChannels: 1},
			func(c sftptest.Counts) int { return c.Ops[sftptest.OpRead] }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, test.faults)
			want := likeFiles(t, srv.Endpoint, "", files-1)
			want["large"] = strings.Repeat("x", 100_000)
			put(t, srv.Endpoint, "large", []byte(want["large"]))
			var limits *Limits
			var costs []int
			for range 2 {
				d := newDownloader(t, byKey(srv.Endpoint))
				if limits != nil {
					d.cfg.Limits = restarted(t, limits)
				}
				limits = d.cfg.Limits
				srv.ResetCounts()
				d.pass(nil)
				wantFiles(t, d.dir, want)
				costs = append(costs, test.cost(srv.Counts()))
			}
			if costs[1] >= costs[0] || test.want > 0 && costs[1] != test.want {
				t.Errorf("they cost %d, want %d the second time, and more the first", costs, test.want)
			}
		})
	}
}

// A server that truncates a file at each OPEN is not tried again after a restart.
func TestTrialOfUploadsOutlastsTheProgram(t *testing.T) {
	limits := new(Limits)
	data := noise(5 * largeFile)
	u, srv := uploadFaulty(t, sftptest.Faults{TruncatesAtOpen: true, Delay: time.Millisecond}, func(c *Config) { c.Limits = limits })
	limits.roundTrip.Store(int64(farAway))
	_, err := u.deliver("a", data)
	u.must(err)
	limits = restarted(t, limits)
	limits.roundTrip.Store(int64(farAway))
	u = uploadTo(t, srv.Endpoint, func(c *Config) { c.Limits = limits })
	srv.ResetCounts()
	_, err = u.deliver("b", data)
	u.must(err)
	u.want("b", data)
	if n := srv.Counts().Ops[sftptest.OpOpen]; n != 1 {
		t.Errorf("%d OPENs of one file", n)
	}
}

// learntLimitsOf sets each value that is kept.
func learntLimitsOf(server string) *Limits {
	l := new(Limits)
	l.meet(server, time.Now())
	l.setDataChannels(0)
	l.setChannelHandles(6)
	l.openFiles.lower(20)
	l.shrinkReads(1000)
	l.oneReaddir.Store(true)
	l.openInTurn.Store(true)
	l.oneWriteChannel.Store(true)
	l.parallelWrites.learn(false)
	return l
}

// Each value of a document comes back, and nothing else: what would harm if it were
// wrong is learnt again.
func TestLimitsDocument(t *testing.T) {
	const server = "SSH-2.0-x"
	l := learntLimitsOf(server)
	for field, value := range reflect.ValueOf(l.learnt()).Fields() {
		if value.IsZero() {
			t.Errorf("%s: this test leaves it out", field.Name)
		}
	}
	for _, f := range []*feature{&l.statAdds, &l.reopenable, &l.exclusiveOpen, &l.renameKeepsTarget, &l.posixRename, &l.fsync, &l.rename, &l.remove} {
		f.learn(true)
	}
	l.noFstat.Store(true)
	l.handlesProbed.Store(true)
	l.takenEarly.Store(true)
	next := restarted(t, l)
	if next.learnt() != (learntLimits{}) || string(next.Document(time.Now())) != string(l.Document(time.Now())) {
		t.Error("they count, or are forgotten, before the server is met")
	}
	next.meet(server, time.Now())
	if next.learnt() != l.learnt() || next.openFiles.limit() != 20 {
		t.Errorf("got %+v, want %+v", next.learnt(), l.learnt())
	}
	if again := next.Document(time.Now().Add(time.Hour)); string(again) != string(l.Document(time.Now())) {
		t.Errorf("another document of the same: %s", again)
	}
	want := learntLimitsOf(server)
	want.Document(time.Now())
	next.origin, want.origin = limitsOrigin{}, limitsOrigin{}
	if !reflect.DeepEqual(next, want) {
		t.Error("more than was kept is known")
	}
	works := new(Limits)
	works.meet(server, time.Now())
	works.parallelWrites.learn(true)
	if document := works.Document(time.Now()); document != nil {
		t.Errorf("that files may be written through several handles is kept: %s", document)
	}
}

// A document counts for its server only, and for a week.
func TestLimitsAreForgotten(t *testing.T) {
	const server = "SSH-2.0-x_1"
	now := time.Now()
	document := learntLimitsOf(server).Document(now)
	for name, test := range map[string]struct {
		document string
		server   string
		at       time.Time
		known    bool
	}{
		"the same server":       {string(document), server, now.Add(LimitsAge - time.Minute), true},
		"another version of it": {string(document), "SSH-2.0-x_2", now.Add(time.Minute), false},
		"a week later":          {string(document), server, now.Add(LimitsAge), false},
		"before it was learnt":  {string(document), server, now.Add(-time.Minute), false},
		"a later document":      {strings.Replace(string(document), `"version":1`, `"version":2`, 1), server, now, false},
		"more fields":           {strings.Replace(string(document), "{", `{"more":{"a":[1]},`, 1), server, now.Add(time.Minute), true},
		"another type":          {strings.Replace(string(document), `"channels":1`, `"channels":"1"`, 1), server, now, false},
		"half of it":            {string(document[:len(document)/2]), server, now, false},
		"nothing":               {"", server, now, false},
		"no server":             {`{"version":1,"server":"","channels":1}`, "", now, false},
	} {
		l := new(Limits)
		l.Restore([]byte(test.document))
		l.meet(test.server, test.at)
		if got := l.learnt(); (got != learntLimits{}) != test.known {
			t.Errorf("%s: %+v is known", name, got)
		}
	}
}

// Values that no server has shown are unknown.
func TestLimitsOutOfRange(t *testing.T) {
	for _, n := range []int{-1, 1 << 31, 1 << 40} {
		document := fmt.Sprintf(`{"version":1,"server":"s","since":%q,"channels":%d,"channel_handles":%d,"open_files":%d,"read_size":%d}`,
			time.Now().Format(time.RFC3339), n, n, n, n)
		l := new(Limits)
		l.Restore([]byte(document))
		l.meet("s", time.Now().Add(time.Second))
		if got := l.learnt(); got != (learntLimits{}) {
			t.Errorf("%d: %+v", n, got)
		}
	}
}

// What is learnt later does not make older limits younger.
func TestAgeOfLimits(t *testing.T) {
	now := time.Now()
	l := new(Limits)
	l.meet("s", now)
	if document := l.Document(now); document != nil {
		t.Errorf("nothing was learnt, and %s is kept", document)
	}
	l.openInTurn.Store(true)
	first := l.Document(now.Add(time.Hour))
	next := new(Limits)
	next.Restore(first)
	next.meet("s", now.Add(48*time.Hour))
	next.oneReaddir.Store(true)
	var d limitsDocument
	if err := json.Unmarshal(next.Document(now.Add(72*time.Hour)), &d); err != nil || !d.OneReaddir || !d.OpenInTurn ||
		!d.Since.Equal(now.Add(time.Hour).UTC().Truncate(time.Second)) {
		t.Errorf("%+v, %v", d, err)
	}
}

// A name behind which are several servers keeps nothing: it is not known whose it is.
func TestLimitsOfSeveralServers(t *testing.T) {
	l := learntLimitsOf("SSH-2.0-x")
	l.meet("SSH-2.0-x", time.Now())
	if l.Document(time.Now()) == nil {
		t.Error("the same server is taken for another one")
	}
	l.meet("SSH-2.0-y", time.Now())
	if document := l.Document(time.Now()); document != nil {
		t.Errorf("%s is kept", document)
	}
	if l.openFiles.limit() != 20 {
		t.Error("the program itself has forgotten it")
	}
}

// A limit that is tried at a higher value is kept as it was shown.
func TestTrialOfAHigherLimitIsNotKept(t *testing.T) {
	l := new(Limits)
	l.meet("s", time.Now())
	l.openFiles.lower(8)
	before := string(l.Document(time.Now()))
	for range probeAfter {
		l.openFiles.noteOpened(8)
	}
	if l.openFiles.limit() != 12 || string(l.Document(time.Now())) != before {
		t.Errorf("a limit of %d; %s, before %s", l.openFiles.limit(), l.Document(time.Now()), before)
	}
	for range probeAfter {
		l.openFiles.noteOpened(12)
	}
	if n := l.learnt().OpenFiles; n != 12 {
		t.Errorf("%d is kept of a server that bears 12", n)
	}
}
