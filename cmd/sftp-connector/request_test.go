package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

const requestToken = "a-token-for-the-tests-0123456789"

// requestable is a site with a token and one connector, to whose server files were put.
func requestable(t *testing.T, more string) (*site, sftptest.Endpoint) {
	t.Helper()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	s := &site{t, t.TempDir()}
	s.write("config.yaml", fmt.Sprintf(`server:
  listen: 127.0.0.1:0
  tokens: [{name: tests, token: %s, scopes: [read, request, apply, configure]}]
connectors:
  results:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./results%s}
`, requestToken, login(server), server.Root, more))
	return s, server
}

func (s *site) client() *interapp.Client {
	s.t.Helper()
	c := interapp.NewClient(s.url(), requestToken)
	s.t.Cleanup(c.Close)
	return c
}

// told is a program that is posted to. It looks at the files as a reply arrives.
type told struct {
	*httptest.Server
	t        *testing.T
	from, to string // the source, and the destination

	mu      sync.Mutex
	replies map[string]interapp.Reply
	times   map[string]int // how often each came
}

func beTold(t *testing.T, from, to string) *told {
	r := &told{t: t, from: from, to: to, replies: map[string]interapp.Reply{}, times: map[string]int{}}
	r.Server = httptest.NewServer(&interapp.Receiver{Secret: requestToken, OnReply: r.reply})
	t.Cleanup(r.Close)
	return r
}

func (r *told) reply(_ context.Context, reply interapp.Reply) error {
	for _, f := range reply.Files {
		want, err := os.ReadFile(filepath.Join(r.from, f.SourceName))
		got, gerr := os.ReadFile(filepath.Join(r.to, f.Name))
		if err = errors.Join(err, gerr); err != nil || string(got) != string(want) {
			r.t.Errorf("%s: %s is not there, or not whole, as the reply arrives: %v", reply.ID, f.Name, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies[reply.ID] = reply
	r.times[reply.ID]++
	return nil
}

func (r *told) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[id] > 0
}

// found is what find(1) finds below a directory, in order.
func found(t *testing.T, dir string, conditions ...string) []string {
	t.Helper()
	cmd := exec.Command("find", append([]string{".", "-type", "f"}, append(conditions, "-printf", `%P\n`)...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("find %v: %v", conditions, err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	return names
}

// Requests by name, by time and by both give what find gives, for a thousand
// files of 1970 to 2106; each file is whole as the reply arrives.
func TestRequestsGiveWhatFindGives(t *testing.T) {
	t.Parallel()
	s, server := requestable(t, "")
	random := rand.New(rand.NewPCG(1, 2))
	times := []int64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Unix()
	for i := range 1000 {
		name := filepath.Join(server.Root, fmt.Sprintf("d%d", i%7), fmt.Sprintf("s%d", i%3), fmt.Sprintf("f_%03d.%s", i, []string{"csv", "txt", "CSV"}[i%3*i%3]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Repeat(strconv.Itoa(i), random.IntN(3000))), 0o644); err != nil {
			t.Fatal(err)
		}
		at := base + random.Int64N(20) // many of one second
		if i < 5*len(times) {
			at = times[i%len(times)]
		}
		if err := os.Chtimes(name, time.Unix(at, 0), time.Unix(at, 0)); err != nil {
			t.Fatal(err)
		}
	}
	r := s.daemon()
	client, receiver := s.client(), beTold(t, server.Root, s.path("results"))
	stamp := func(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
	newer := func(at int64) string { return fmt.Sprintf("@%d", at-1) }
	var group sync.WaitGroup
	for i, c := range []struct {
		name string
		time *interapp.FileTimeFilter
		find []string
	}{
		{"*.csv", nil, []string{"-name", "*.csv"}},
		{"f_?[05]*", nil, []string{"-name", "f_?[05]*"}},
		{"d3/**/*.txt", nil, []string{"-path", "./d3/*", "-name", "*.txt"}},
		{"d[0-2]/s1/*", nil, []string{"-regextype", "posix-extended", "-regex", `\./d[0-2]/s1/[^/]*`}},
		{`regex:^d[0-4]/.*_1[0-9]+\.`, nil, []string{"-regextype", "posix-extended", "-regex", `\./d[0-4]/.*_1[0-9]+\..*`}},
		{"", &interapp.FileTimeFilter{From: stamp(base + 5)}, []string{"-newermt", newer(base + 5)}},
		{"", &interapp.FileTimeFilter{To: stamp(base + 5)}, []string{"!", "-newermt", newer(base + 5)}},
		{"", &interapp.FileTimeFilter{From: stamp(base + 5), To: stamp(base + 6)}, []string{"-newermt", newer(base + 5), "!", "-newermt", newer(base + 6)}},
		{"*.csv", &interapp.FileTimeFilter{From: stamp(base + 2), To: stamp(base + 9)}, []string{"-name", "*.csv", "-newermt", newer(base + 2), "!", "-newermt", newer(base + 9)}},
		{"", &interapp.FileTimeFilter{To: stamp(1)}, []string{"!", "-newermt", "@0"}},
		{"", &interapp.FileTimeFilter{From: stamp(1<<32 - 1)}, []string{"-newermt", newer(1<<32 - 1)}},
		{"nothing.*", nil, []string{"-name", "nothing.*"}},
		{"", nil, nil},
	} {
		group.Go(func() {
			id := fmt.Sprintf("request-%d", i)
			reply, err := client.Request(t.Context(), "results", interapp.Request{ID: id, FileNameFilter: c.name, FileTimeFilter: c.time, ReplyTo: receiver.URL})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			want := found(t, server.Root, c.find...)
			if !reply.Success || !slices.Equal(reply.FileNames, want) {
				t.Errorf("%s %+v: %d files (%s), find gives %d", c.name, c.time, len(reply.FileNames), reply.Description, len(want))
			}
			t.Logf("%s: %d files, %s", c.name, len(want), reply.Description)
		})
	}
	group.Wait()
	r.until("all replies are posted", func() bool {
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		return len(receiver.replies) == 13
	})
	sftptest.CompareTrees(t, server.Root, s.path("results"))
}

// The daemon is killed between accepting and replying; each request is answered
// after the restart, once.
func TestRequestsOutliveKills(t *testing.T) {
	t.Parallel()
	s, server := requestable(t, "")
	receiver := beTold(t, server.Root, s.path("results"))
	const kills = 30
	for i := range kills {
		for k := range 20 {
			put(t, server.Root, fmt.Sprintf("round%02d/%02d.csv", i, k), strings.Repeat("x", 40_000), old)
		}
		r := s.spawn("run")
		r.until("it runs", func() bool { return strings.Contains(r.stderr.String(), "running") })
		id := fmt.Sprint("kill-", i)
		state, err := s.client().StartRequest(t.Context(), "results", interapp.Request{ID: id, FileNameFilter: fmt.Sprintf("round%02d/*", i), ReplyTo: receiver.URL})
		if err != nil || state.ID != id {
			t.Fatal(err)
		}
		// Sooner or later on the way to the reply.
		select {
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
		case <-r.done:
		}
		r.signal(os.Kill)
		<-r.done
	}
	r := s.daemon()
	client := s.client()
	for i := range kills {
		id := fmt.Sprint("kill-", i)
		r.until(id+" is answered", func() bool {
			state, err := client.RequestState(t.Context(), id)
			return err == nil && state.State == interapp.RequestReplied && state.Reply.Success && len(state.Reply.FileNames) == 20
		})
		r.until(id+" is told", func() bool { return receiver.has(id) })
	}
	r.stop().gives(0)
	twice := 0
	for _, n := range receiver.times {
		twice += n - 1
	}
	t.Logf("%d requests answered, %d postings came twice", kills, twice)
	if parts := s.parts("results"); len(parts) != 0 {
		t.Errorf("pending files: %v", parts)
	}
}

// The programs in docs/examples get the files that they ask for.
func TestExamplePrograms(t *testing.T) {
	t.Parallel()
	s, server := requestable(t, "")
	put(t, server.Root, "d/a.csv", "1", old)
	put(t, server.Root, "b.csv", "2", old)
	put(t, server.Root, "c.txt", "3", old)
	s.daemon()
	program := s.path("getfiles")
	if out, err := exec.Command("go", "build", "-o", program, "../../docs/examples/getfiles").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := s.path("results/b.csv") + "\n" + s.path("results/d/a.csv") + "\n"
	for _, name := range []string{program, "../../docs/examples/getfiles.sh"} {
		run := func(connector, glob string) (string, error) {
			cmd := exec.Command(name, connector, glob)
			cmd.Env = append(os.Environ(), "SERVER="+s.url(), "TOKEN="+requestToken)
			out, err := cmd.Output()
			return string(out), err
		}
		if out, err := run("results", "*.csv"); err != nil || out != want {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		out, err := run("none", "*.csv")
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || out != "" || !strings.Contains(string(exit.Stderr), "no connector has this name") {
			t.Errorf("%s: an unknown connector: %v %s", name, err, out)
		}
	}
	for _, name := range []string{"b.csv", "d/a.csv"} {
		if !s.exists("results/" + name) {
			t.Errorf("%s is not there", name)
		}
	}
	if s.exists("results/c.txt") {
		t.Error("what nobody asked for was copied")
	}
}

func TestRequestVerb(t *testing.T) {
	t.Parallel()
	for _, daemon := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon %t", daemon), func(t *testing.T) {
			t.Parallel()
			s, server := requestable(t, ", settle: 2s")
			put(t, server.Root, "a.csv", "1", old)
			put(t, server.Root, "d/b.csv", "2", 49*time.Hour)
			put(t, server.Root, "c.txt", "3", old)
			put(t, server.Root, "young.txt", "4", 0)
			if daemon {
				s.daemon()
			}
			if o := s.run("request", "results", "--file-name", "*.csv").gives(0); o.stdout != "a.csv\nd/b.csv\n" {
				t.Errorf("%q", o.stdout)
			}
			if o := s.run("request", "results", "--file-name", "*.csv", "-0").gives(0); o.stdout != "a.csv\x00d/b.csv\x00" {
				t.Errorf("%q", o.stdout)
			}
			from := time.Now().Add(-48*time.Hour - 30*time.Minute).UTC().Format(time.RFC3339)
			if o := s.run("request", "results", "--file-name", "*.csv", "--from", from).gives(0); o.stdout != "a.csv\n" {
				t.Errorf("%q", o.stdout)
			}
			if o := s.run("request", "results", "--file-name", "*.csv", "--to", from).gives(0); o.stdout != "d/b.csv\n" {
				t.Errorf("%q", o.stdout)
			}
			var reply interapp.Reply
			o := s.run("request", "results", "--file-name", "c.txt", "--json").gives(0)
			if err := json.Unmarshal([]byte(o.stdout), &reply); err != nil || !reply.Success || len(reply.Files) != 1 || reply.Files[0].Status != "copied" {
				t.Errorf("%v: %s", err, o.stdout)
			}
			s.run("request", "results", "--file-name", "none").gives(0).says("no file matches")
			s.run("request", "results", "--newer-than", "1h", "--timeout", "1s").gives(1).says("not done within 1s")
			s.run("request", "results", "--file-name", "[").gives(2).says("file_name_filter", "not closed")
			s.run("request", "results", "--from", "yesterday").gives(2).says("file_time_filter.from")
			s.run("request", "none").gives(2).says("none")
		})
	}
}

// A file that cannot be copied is named, and the exit code is 3; without a
// connection it is 1, with the cause.
func TestRequestVerbFails(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{Fail: func(op sftptest.Op, path string) sftptest.Status {
		if op == sftptest.OpOpen && strings.HasSuffix(path, "bad.csv") {
			return sftptest.StatusPermissionDenied
		}
		return sftptest.StatusOK
	}})
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n", login(server.Endpoint), server.Root)
	put(t, server.Root, "good.csv", "1", old)
	put(t, server.Root, "bad.csv", "2", old)
	if o := s.run("request", "results").gives(3).says("failed: bad.csv", "permission denied"); o.stdout != "good.csv\n" {
		t.Errorf("%q", o.stdout)
	}
	server.Stop()
	s.run("request", "results").gives(1).says("Connection Refused")
}
