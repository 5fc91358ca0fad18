package webtest

import (
	"fmt"
	"strings"
	"time"

	"sftpconnector/interapp"
)

func at(before time.Duration) *time.Time { return new(Now().Add(-before)) }

func connectors() []interapp.Connector {
	ended := interapp.Pass{Pass: "41", Mode: "automatic", State: "succeeded", ConnectionStatus: "Connection Valid", Started: *at(5 * time.Minute), Finished: at(4 * time.Minute), Files: interapp.Counts{Seen: 12, Copied: 3, Present: 9, Bytes: 4_200_000}}
	partial := ended
	partial.State, partial.Files.Failed, partial.Files.Conflict = "partial", 2, 1
	partial.Failures = []interapp.FileFailure{{Name: "day/a.csv", Error: "permission denied", Hint: "Give this user read access."}, {Name: "day/b.csv", Error: "permission denied"}}
	refused := ended
	refused.State, refused.ConnectionStatus, refused.Error = "failed", "Authentication Failed", "ssh: unable to authenticate"
	running := interapp.Running{Pass: "42", Mode: "apply", Started: *at(20 * time.Second), Progress: &interapp.Progress{Seen: 40, FilesDone: 10, FilesFound: 40, BytesDone: 20_000_000, BytesFound: 80_000_000, ListingDone: true, Doing: "copying day/c.csv"}}
	one := func(name, word string, last *interapp.Pass) interapp.Connector {
		return interapp.Connector{Name: name, Direction: "download", ConnectionStatus: word, Since: *at(2 * time.Hour), Schedule: "15m", NextPass: at(-10 * time.Minute), LastPass: last}
	}
	list := []interapp.Connector{
		one("trace-results", "Authentication Failed", &refused), one("invoices", "Connection Valid", &partial), one("outgoing", "Connection Valid", &ended),
		one("orders", "Connection Valid", &ended), one("archive", "Not Checked", nil), one("held-up", "Connection Valid", &ended), one("quiet", "Paused", &ended),
	}
	list[0].Error, list[0].Hint = "log in to sftp.vendor.example:22: ssh: unable to authenticate", "Verify that your credentials (sftp.username and its password or key) are right and haven't expired, and refetch them if necessary; the server does not say which of them is wrong."
	list[0].HeldUntil = at(-25 * time.Minute)
	list[3].Running = &running
	list[4].Schedule, list[4].NextPass = "N/A", nil
	list[5].NextPass = at(10 * time.Minute)
	list[6].Paused = &interapp.Pause{Since: *at(time.Hour), By: "operator", Reason: "the server is being moved"}
	return list
}

func spaces() []interapp.Space {
	return []interapp.Space{{
		ID: "us_sp_123", ConnectionStatus: "Connection Valid", Since: *at(time.Hour), Destination: "/srv/spaces/us_sp_123",
		Inbox:       interapp.Inbox{Bytes: 12_000_000, Files: 2, Quota: 10_000_000_000},
		Sessions:    []interapp.SpaceSession{{Address: "192.0.2.7", Client: "SSH-2.0-OpenSSH_9.2", Since: *at(time.Minute), Bytes: 700}},
		Credentials: []interapp.SpaceCredential{{ID: "c1", Created: *at(24 * time.Hour), By: "ops"}},
		PublicHost:  "sftp.example.com", PublicPort: 22, HostKeys: []interapp.HostKey{{Type: "ssh-ed25519", Fingerprint: "SHA256:BBBB"}},
	}}
}

func files() []interapp.File {
	return []interapp.File{
		{Name: "day/broken.csv", State: "quarantined", Size: 12, ModTime: at(time.Hour), Tries: 5, Error: "permission denied"},
		{Name: "day/later.csv", State: "failed", Size: 1200, ModTime: at(time.Hour), Tries: 2, NextTry: at(-time.Minute), Error: "permission denied"},
		{Name: "day/young.csv", State: "waiting", Size: -1, Reason: "It was modified 2 s ago; a second look comes in 3 s."},
		{Name: "day/a.csv", State: "delivered", Size: 4_000_000, ModTime: at(time.Hour), DeliveredAt: at(time.Minute), Target: "a.csv"},
		{Name: "day/b.csv", State: "delivered", Size: 900, ModTime: at(time.Hour), DeliveredAt: at(time.Minute), Unverified: true},
	}
}

func passes() []interapp.Pass {
	var list []interapp.Pass
	for i := range 40 {
		p := interapp.Pass{Pass: fmt.Sprint(100 - i), Mode: "automatic", State: "succeeded", ConnectionStatus: "Connection Valid", Started: *at(time.Duration(i) * time.Minute),
			Files: interapp.Counts{Seen: 40, Copied: int64(i % 7), Bytes: int64(i%7) * 1_000_000}}
		p.Finished = new(p.Started.Add(time.Duration(1+i%5) * time.Second))
		switch {
		case i == 0:
			p.State, p.Finished = "running", nil
		case i%11 == 4:
			p.State, p.Files.Failed = "partial", 3
		case i%13 == 6:
			p.State, p.ConnectionStatus, p.Error = "failed", "Connection Refused", "dial: connection refused"
		}
		list = append(list, p)
	}
	return list
}

// recent is the last passes of connectors, of every kind.
func recent(names string) interapp.RecentPasses {
	out := interapp.RecentPasses{Connectors: map[string][]interapp.PassMark{}}
	for name := range strings.SplitSeq(names, ",") {
		for i := range 30 {
			m := interapp.PassMark{Pass: fmt.Sprint(i), State: "succeeded", Started: *at(time.Duration(i) * time.Hour), Files: int64(i % 3)}
			switch {
			case i == 0:
				m.State = "running"
			case i%9 == 4:
				m.State = "partial"
			case i%11 == 6:
				m.State = "failed"
			case i == 20:
				m.State = "cancelled"
			}
			out.Connectors[name] = append(out.Connectors[name], m)
		}
	}
	return out
}

func requests() []interapp.RequestState {
	reply := interapp.Reply{ID: "r1", Connector: "orders", Success: true, Description: "2 files copied, 1 already present", Destination: "/srv/orders", FileNames: []string{"a.csv"},
		Files: []interapp.ReplyFile{{Name: "a.csv", SourceName: "a.csv", Size: 12, Status: "copied", ModTime: at(time.Hour)}}, Waiting: []interapp.ReplyProblem{{Name: "b.csv", Reason: "it still grows"}}}
	return []interapp.RequestState{
		{ID: "r1", Connector: "orders", State: "replied", Accepted: *at(time.Hour), Deadline: *at(55 * time.Minute), Finished: at(58 * time.Minute), Request: interapp.Request{ID: "r1", Source: "element 925/187", FileNameFilter: "*.csv", ReplyTo: "http://127.0.0.1:9/reply"},
			Reply: &reply, Posting: &interapp.Posting{Tries: 3, NextTry: at(-time.Minute), Error: "connection refused"}},
		{ID: "r2", Connector: "orders", State: "running", Accepted: *at(time.Minute), Deadline: *at(-4 * time.Minute), Request: interapp.Request{ID: "r2", FileTimeFilter: &interapp.FileTimeFilter{NewerThan: "24h"}}, Progress: &interapp.Progress{Seen: 4}},
	}
}

// Settings are those of a connector.
func Settings() []interapp.Setting {
	return []interapp.Setting{
		{Key: "direction", Value: "download", Default: "download", Allowed: []string{"download", "upload"}, Doc: "Which way files go.", Editable: true},
		{Key: "sftp.host", Value: "sftp.vendor.example", Written: "sftp.vendor.example", Line: 4, Set: true, Doc: "Name or address of the SFTP server.", Editable: true},
		{Key: "sftp.port", Value: "22", Default: "22", Doc: "Usually 22.", Editable: true},
		{Key: "sftp.username", Value: "collector", Written: "${SFTP_USER}", Line: 5, Set: true, Doc: "The user that logs in.", Editable: true},
		{Key: "sftp.authentication", Value: "credentials", Default: "credentials", Allowed: []string{"credentials", "key-pairs", "both", "agent"}, Doc: "What logs in.", Editable: true},
		{Key: "sftp.password", Secret: true, Set: true, Line: 6, Doc: "The password of the Username.", Editable: true},
		{Key: "sftp.key_pairs_path", Doc: "The file with the private key.", Editable: true},
		{Key: "sftp.host_key", Value: "known-hosts", Default: "known-hosts", Values: []string{"known-hosts"}, List: true, Doc: "How the server is known.", Editable: true},
		{Key: "files.source_directory_path", Value: "/results", Written: "/results", Line: 8, Set: true, Doc: "The directory on the server.", Editable: true},
		{Key: "files.destination_directory_path", Value: "/srv/results", Written: "./results", Line: 9, Set: true, Doc: "The directory that gets the copies.", Editable: true},
		{Key: "files.system_username", Doc: "For a share.", Editable: true},
		{Key: "files.system_password", Secret: true, Doc: "For a share.", Editable: true},
		{Key: "files.include", Value: "**", Values: []string{"**"}, List: true, Default: "**", Doc: "Which files are copied.", Editable: true},
		{Key: "files.exclude", Values: []string{"*.bak", "tmp/"}, Value: "*.bak, tmp/", List: true, Set: true, Line: 11, Doc: "Which are not.", Editable: false},
		{Key: "automatic_sftp_file_sync", Value: "15m", Written: "1h", Set: true, Line: 14, Default: "N/A", ByAPI: "15m", Doc: "When automatic passes run.", Editable: true},
		{Key: "time_zone", Value: "Europe/Brussels", Written: "Europe/Brussels", Set: true, Default: "UTC", Line: 15, Doc: "For cron, and for times without a zone.", Editable: true},
	}
}

func file() interapp.ConfigurationFile {
	return interapp.ConfigurationFile{Path: "/etc/sftp-connector/config.yaml", Version: "v1", Loaded: "v0", LoadedAt: *at(time.Hour), Newer: true,
		LastReload: &interapp.Reload{At: *at(time.Hour), Changed: []string{"orders"}, Refused: []string{"server.listen takes effect at the next start"}},
		YAML:       "# comments stay\nconnectors:\n  trace-results:\n    sftp: {host: sftp.vendor.example, password: \"[redacted]\"}\n",
		Settings:   []interapp.Setting{{Key: "server.listen", Value: "127.0.0.1:8022", Default: "127.0.0.1:8022", Doc: "Where the pages and the API are."}}}
}

func audit() []interapp.AuditEntry {
	return []interapp.AuditEntry{
		{ID: "2", At: *at(time.Minute), Who: "operator", From: "127.0.0.1", Action: "apply", Connector: "orders", OK: true, Status: 202},
		{ID: "1", At: *at(time.Hour), Who: "billing-driver", From: "192.0.2.9", Action: "credentials", Connector: "spaces/us_sp_123", Detail: "credential c1", Status: 403},
	}
}
