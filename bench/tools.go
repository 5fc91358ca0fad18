package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// tool is one of the programs that are compared.
type tool struct {
	name  string
	sftp  bool // speaks SFTP; rsync and cat do not
	needs string
	// command gives the command line for a work: from is the source on the
	// server, to the local directory. nil: it does not do such a work.
	command func(k kind, s *sshServer, from, to string) []string
}

const ours = "sftp-connector"

// tools are the programs, ours first.
func tools(o options, temp string) []tool {
	return []tool{
		{ours, true, o.sftp, func(k kind, s *sshServer, from, to string) []string {
			verb := []string{"apply", "bench", "--json"}
			if k == list {
				verb = []string{"ls", "bench", "--json"}
			}
			return append([]string{o.sftp, "--config", configFor(s, from, to, k.settle())}, verb...)
		}},
		{"sftp", true, "sftp", func(k kind, s *sshServer, from, to string) []string {
			base := append([]string{"sftp", "-q", "-P", s.port}, s.ssh()[3:]...)
			switch k {
			case fetch:
				return append(base, "-r", s.user+"@127.0.0.1:"+from+"/.", to)
			case list:
				return []string{"sh", "-c", "echo 'ls -1 " + from + "/d000' | " + strings.Join(append(base, "-b", "-", s.user+"@127.0.0.1"), " ")}
			}
			return nil // it copies everything each time
		}},
		{"rsync", false, "rsync", func(k kind, s *sshServer, from, to string) []string {
			base := []string{"rsync", "-e", strings.Join(s.ssh(), " ")}
			if k == list {
				return append(base, "--list-only", "-r", s.user+"@127.0.0.1:"+from+"/d000/")
			}
			return append(base, "-a", s.user+"@127.0.0.1:"+from+"/", to+"/")
		}},
		{"lftp -P4", true, "lftp", func(k kind, s *sshServer, from, to string) []string {
			set := "set sftp:connect-program '" + strings.Join(append(s.ssh(), "-a", "-x"), " ") + "'; open sftp://" + s.user + ":@127.0.0.1:" + s.port + "; "
			if k == list {
				return []string{"lftp", "-c", set + "cls -1 " + from + "/d000"}
			}
			return []string{"lftp", "-c", set + "mirror -P4 " + from + " " + to}
		}},
		{"rclone", true, o.rclone, rclone(o, temp)},
		{"rclone tuned", true, o.rclone, rclone(o, temp, "--transfers", "16", "--checkers", "16", "--sftp-chunk-size", "255k", "--sftp-concurrency", "64")},
		{"ssh cat", false, "ssh", func(k kind, s *sshServer, from, to string) []string {
			if k != fetch || !one(from) {
				return nil
			}
			return []string{"sh", "-c", strings.Join(s.ssh(), " ") + " " + s.user + "@127.0.0.1 'cat " + from + "/d000/*' >" + to + "/file"}
		}},
	}
}

// one reports whether a tree has a single file.
func one(dir string) bool {
	entries, err := os.ReadDir(filepath.Join(dir, "d000"))
	return err == nil && len(entries) == 1
}

func rclone(o options, temp string, tuning ...string) func(k kind, s *sshServer, from, to string) []string {
	return func(k kind, s *sshServer, from, to string) []string {
		remote := fmt.Sprintf(":sftp,host=127.0.0.1,port=%s,user=%s,key_file=%s,known_hosts_file=%s,shell_type=none:%s", s.port, s.user, s.key, s.knownHosts, from)
		base := []string{o.rclone, "--config", filepath.Join(temp, "rclone.conf")}
		if k == list {
			return append(append(base, "lsf", remote+"/d000"), tuning...)
		}
		return append(append(base, "copy", remote, to), tuning...)
	}
}

// configFor writes our configuration. The data directory lies beside the
// copies, so that the ledger pays for the same disk.
func configFor(s *sshServer, from, to, settle string) string {
	path := to + ".yaml"
	text := fmt.Sprintf(`data_directory: %s
connectors:
  bench:
    sftp: {host: 127.0.0.1, port: %s, username: %s, authentication: key-pairs, key_pairs_path: %s, known_hosts_path: %s}
    files: {source_directory_path: %s, destination_directory_path: %s, settle: %s}
`, strconv.Quote(to+".data"), s.port, s.user, s.key, s.knownHosts, from, to, settle)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err) // the directory is ours
	}
	return path
}

// found reports whether the program is on this machine.
func (t tool) found() bool {
	_, err := exec.LookPath(t.needs)
	return err == nil
}
