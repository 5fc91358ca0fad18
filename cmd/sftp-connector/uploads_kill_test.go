package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/interapp"
)

// The daemon is killed at random moments while clients upload and while it
// imports. Whatever a client saw succeed is at the destination in the end, once
// and whole; whatever was cut is not, unless its client went on with it.
func TestUploadsOfAKilledDaemon(t *testing.T) {
	t.Parallel()
	kills := 12
	if os.Getenv("SOAK") != "" {
		kills = 50
	}
	k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
	k.settings("", spaces{"keeping": "same_name: keep-both", "replacing": "same_name: replace"})
	k.enroll()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	crew := &crew{dock: k, files: map[string]fate{}}
	k.revive()
	crew.config = k.caller()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var working sync.WaitGroup
	for i := range 8 {
		u := &uploader{crew: crew, name: fmt.Sprintf("c%d", i), space: []string{"keeping", "replacing"}[i%2], random: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		working.Go(func() { u.work(ctx) })
	}
	started := time.Now()
	logs, imports := "", 0
	for n := range kills {
		if n > 0 {
			k.revive()
		}
		crew.call(k.addr())
		span := 1200 * time.Millisecond
		if random.IntN(3) > 0 { // while it imports
			k.until("something is imported", func() bool { return strings.Contains(k.d.stderr.String(), `msg="file delivered"`) })
			span = 80 * time.Millisecond
			imports++
		}
		time.Sleep(time.Duration(random.Int64N(int64(span))))
		k.d.signal(os.Kill)
		if o := k.d.wait(time.Minute); o.code != -1 {
			t.Fatalf("the daemon ended with %d by itself:\n%s", o.code, o.stderr)
		}
		logs += k.d.stderr.String()
	}
	took := time.Since(started)
	end()
	working.Wait()
	k.revive()
	for _, id := range []string{"keeping", "replacing"} {
		k.until("all is imported of "+id, func() bool { return !slices.ContainsFunc(k.waiting(id), importable) })
	}
	k.d.stop().gives(0)
	crew.settled(logs + k.d.stderr.String())
	t.Logf("%d kills in %s, %d of them when it imported", kills, took.Round(time.Millisecond), imports)
}

// revive starts the daemon in a process of its own.
func (k *dock) revive() {
	k.t.Helper()
	k.d = k.spawn("run")
	k.addr()
}

// importable reports whether an upload waits for nobody but the import.
func importable(f interapp.InboxFile) bool { return f.State == "waiting" || f.State == "ready" }

// fate is what a client knows of its upload.
type fate struct {
	outcome ending
	content string
}

type ending string

const (
	answered   ending = "answered"   // its last step was answered: it has to be there
	unanswered ending = "unanswered" // its last step had no answer
	unclosed   ending = "unclosed"   // was never closed: it must not be there
)

// crew are clients that upload, each its own files.
type crew struct {
	*dock
	config *ssh.ClientConfig

	mu    sync.Mutex
	addr  string
	files map[string]fate // by Space and name
}

// call tells the crew where the daemon is now.
func (c *crew) call(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addr = addr
}

func (c *crew) where() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

// settled checks what has arrived against what the clients know.
func (c *crew) settled(logs string) {
	c.t.Helper()
	counts := map[ending]int{}
	for _, id := range []string{"keeping", "replacing"} {
		there := c.arrived(id)
		for name, content := range there {
			f, known := c.files[id+"/"+name]
			switch {
			case !known:
				c.t.Errorf("%s has %s, which nobody uploaded under this name", id, name)
			case f.outcome == unclosed:
				c.t.Errorf("%s has %s, which was cut", id, name)
			case content != f.content:
				c.t.Errorf("%s has %s with %d bytes, which are not the %d that were sent", id, name, len(content), len(f.content))
			}
		}
		for name, f := range c.files {
			name, mine := strings.CutPrefix(name, id+"/")
			if !mine {
				continue
			}
			counts[f.outcome]++
			if _, arrived := there[name]; f.outcome == answered && !arrived {
				c.t.Errorf("%s lacks %s, whose upload succeeded", id, name)
			}
			if n := strings.Count(logs, " file="+name+" "); n > 1 {
				c.t.Errorf("%s was delivered to %s %d times", name, id, n)
			}
		}
	}
	if counts[answered] == 0 || counts[unclosed] == 0 || !strings.Contains(logs, " file=c0-") {
		c.t.Errorf("not much was done: %v", counts)
	}
	c.t.Logf("uploads: %v", counts)
}

// uploader is one of the crew. It uses a new name for each file, so that what
// was imported twice would be seen.
type uploader struct {
	*crew
	name, space string
	random      *rand.Rand
	files       int
	at          string // where the connection leads; "" for none
	client      client
}

// work uploads until ctx ends.
func (u *uploader) work(ctx context.Context) {
	defer u.leave()
	pace := time.NewTicker(40 * time.Millisecond)
	defer pace.Stop()
	var left string // the name of an upload that was cut
	for {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		if !u.connect(ctx) {
			continue
		}
		if left != "" && u.random.IntN(2) == 0 {
			u.resume(left)
			left = ""
			continue
		}
		if name := u.upload(); name != "" {
			left = name
		}
	}
}

func (u *uploader) leave() {
	if u.at != "" {
		u.client.hangUp()
		u.client.Client.Close()
		u.at = ""
	}
}

// connect makes sure that there is a connection to the daemon that lives.
func (u *uploader) connect(ctx context.Context) bool {
	addr := u.where()
	if u.at == addr {
		return addr != ""
	}
	u.leave()
	c, err := dial(ctx, u.config, addr, u.space, u.password(u.space))
	if err != nil {
		return false
	}
	u.client, u.at = c, addr
	return true
}

// know notes what became of a file. A step that has no answer as the connection
// is lost has the outcome lost.
func (u *uploader) know(name, content string, err error, lost ending) ending {
	outcome := answered
	if err != nil {
		outcome = lost
		if !disconnected(err) {
			u.t.Errorf("%s: %v", name, err)
		}
		u.leave()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.crew.files[u.space+"/"+name] = fate{outcome, content}
	return outcome
}

// disconnected reports whether it is the connection that failed, not the server
// that said no.
func disconnected(err error) bool {
	_, said := errors.AsType[*sftp.StatusError](err)
	return !said || errors.Is(err, sftp.ErrSSHFxConnectionLost)
}

// upload sends a new file, under its name or a temporary one first. It gives
// the name if the upload was cut, by the daemon's end or by the client.
func (u *uploader) upload() (left string) {
	u.files++
	name := fmt.Sprintf("%s-%d.csv", u.name, u.files)
	content := u.content(name)
	at := name
	if u.random.IntN(5) == 0 {
		at += ".tmp"
	}
	f, err := u.client.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		u.know(name, content, err, unclosed)
		return ""
	}
	half := content
	if u.random.IntN(8) == 0 {
		half = content[:u.random.IntN(len(content)+1)]
	}
	if _, err = io.WriteString(f, half); err == nil && len(half) < len(content) {
		err = io.ErrUnexpectedEOF // the client hangs up
	}
	if err != nil {
		u.know(name, content, err, unclosed)
		if at != name {
			return "" // what is under the temporary name is never to be there
		}
		return name
	}
	if err = f.Close(); err != nil || at == name {
		lost := unanswered
		if at != name {
			lost = unclosed
		}
		u.know(name, content, err, lost)
		return ""
	}
	u.know(name, content, u.client.Rename(at, name), unanswered)
	return ""
}

// resume goes on with an upload that was cut, as reput does.
func (u *uploader) resume(name string) {
	content := u.content(name)
	info, err := u.client.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return // it was cut before it began
	}
	var f *sftp.File
	if err == nil {
		f, err = u.client.OpenFile(name, os.O_WRONLY)
	}
	if err != nil && !disconnected(err) {
		return // the server has not seen yet that the other connection is gone
	}
	if err == nil && info.Size() > int64(len(content)) {
		u.t.Errorf("%s has %d bytes, more than were sent", name, info.Size())
		return
	}
	if err == nil {
		_, err = f.WriteAt([]byte(content[info.Size():]), info.Size())
	}
	if err != nil {
		u.know(name, content, err, unclosed)
		return
	}
	u.know(name, content, f.Close(), unanswered)
}

// content is what the file of that name has: mostly little, at times much.
func (u *uploader) content(name string) string {
	of := rand.New(rand.NewPCG(uint64(len(name)), hashOf(name)))
	line := fmt.Sprintf("%s of %s: %x\n", name, u.space, of.Uint64())
	if of.IntN(40) == 0 {
		return strings.Repeat(line, 1+of.IntN(1<<20)/len(line))
	}
	return strings.Repeat(line, of.IntN(200))
}

func hashOf(text string) (sum uint64) {
	for _, b := range []byte(text) {
		sum = sum*31 + uint64(b)
	}
	return sum
}
