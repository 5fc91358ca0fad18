package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// The next version of a file that the server keeps in its own way replaces the last
// one, and is no conflict with it.
func TestUploadedAgain(t *testing.T) {
	t.Parallel()
	later := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, f := range map[string]sftptest.Faults{
		"a time of its own": {OnWritten: func(path string) { _ = os.Chtimes(path, later, later) }},
		"no time":           {Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoTime = true })},
		"no size":           {Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoSize = true })},
		"no type":           {Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoMode = true })},
	} {
		for _, way := range []string{"pending", "direct"} {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				server := sftptest.StartFaulty(t, f)
				s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: %s
    files: {source_directory_path: ./outgoing, destination_directory_path: %q, upload_name: %s, settle: 0s}
`, login(server.Endpoint), server.Root, way)
				for i, text := range []string{"first", "second one", "third"} {
					put(t, s.path("outgoing"), "a.csv", text, time.Duration(10-i)*time.Hour)
					s.run("apply").gives(0, "out: copied a.csv")
					if got, err := os.ReadFile(filepath.Join(server.Root, "a.csv")); err != nil || string(got) != text {
						t.Errorf("it stands as %q, %v", got, err)
					}
				}
				s.run("apply").gives(0, "succeeded")
			})
		}
	}
}

// A check says what it did not try, and what would help.
func TestCheckOfUploads(t *testing.T) {
	t.Parallel()
	refuse := func(ops ...sftptest.Op) func(sftptest.Op, string) sftptest.Status {
		return sftptest.Refuse(sftptest.StatusPermissionDenied, ops...)
	}
	for name, test := range map[string]struct {
		fail func(sftptest.Op, string) sftptest.Status
		way  string
		code int
		says []string
	}{
		"direct":     {way: "direct", says: []string{"writing was not tried", "may take every file"}},
		"no REMOVE":  {fail: refuse(sftptest.OpRemove), way: "pending", says: []string{"writing was not tried", "does not let files be removed"}},
		"no RENAME":  {fail: refuse(sftptest.OpRename, sftptest.OpExtended), way: "pending", code: 1, says: []string{"permission denied", "set files.upload_name: direct"}},
		"read only":  {fail: refuse(sftptest.OpOpen, sftptest.OpRemove), way: "pending", code: 1, says: []string{"permission denied", "let this user write here"}},
		"letter box": {fail: refuse(sftptest.OpStat, sftptest.OpLstat, sftptest.OpOpendir, sftptest.OpReadlink), way: "pending"},
		"letter box for good": {fail: refuse(sftptest.OpStat, sftptest.OpLstat, sftptest.OpOpendir, sftptest.OpReadlink, sftptest.OpRemove), way: "pending",
			code: 1, says: []string{"a rename may overwrite", "files.on_conflict: overwrite"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sftptest.StartFaulty(t, sftptest.Faults{Fail: test.fail})
			s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: %s
    files: {source_directory_path: ./outgoing, destination_directory_path: %q, upload_name: %s}
`, login(server.Endpoint), server.Root, test.way)
			put(t, s.path("outgoing"), "a.csv", "alpha", 0)
			s.run("check").gives(test.code, test.says...)
			if left, err := os.ReadDir(server.Root); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// What a killed upload has left under its own name is found to be ours, and replaced,
// also where a file cannot be opened again without cutting it.
func TestKilledDirectUpload(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sftptest.Faults{
		"plain": {},
		"needs TRUNC": {FailOpen: func(_ string, flags uint32) sftptest.Status {
			if flags&sftptest.OpenWrite != 0 && flags&sftptest.OpenTruncate == 0 {
				return sftptest.StatusFailure
			}
			return sftptest.StatusOK
		}},
		"truncates": {TruncatesAtOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sftptest.StartFaulty(t, f)
			s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: %s
    files: {source_directory_path: ./outgoing, destination_directory_path: %q, upload_name: direct, settle: 0s, bandwidth_limit: 1MB/s}
`, login(server.Endpoint), server.Root)
			data := strings.Repeat("0123456789abcde\n", 500_000)
			put(t, s.path("outgoing"), "a.csv", data, 0)
			target := filepath.Join(server.Root, "a.csv")
			k := s.spawn("apply")
			k.until("a part of it stands", func() bool {
				fi, err := os.Stat(target)
				return err == nil && fi.Size() > 1_000_000
			})
			k.signal(os.Kill)
			<-k.done
			configured, err := os.ReadFile(s.path("config.yaml"))
			if err == nil {
				err = os.WriteFile(s.path("config.yaml"), []byte(strings.ReplaceAll(string(configured), ", bandwidth_limit: 1MB/s", "")), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.run("apply").gives(0, "out: copied a.csv")
			if got, err := os.ReadFile(target); err != nil || string(got) != data {
				t.Errorf("%d bytes stand, %v", len(got), err)
			}
		})
	}
}
