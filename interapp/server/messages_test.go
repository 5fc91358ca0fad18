package server_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/space/credentials"
	"sftpconnector/space/sshd"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// Every message as its JSON, from times of another zone.
func TestMessagesAsJSON(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	at := time.Date(2026, 1, 2, 5, 4, 5, 0, zone)
	counts := filesync.Counts{Seen: 1, Copied: 2, Present: 3, Waiting: 4, Excluded: 5, Failed: 6, Conflict: 7, Quarantined: 8, Unsafe: 9, Unverified: 11, Bytes: 10}
	const counted = `{"seen":1,"copied":2,"present":3,"waiting":4,"excluded":5,"failed":6,"conflict":7,"quarantined":8,"unsafe":9,"unverified":11,"bytes":10}`
	const none = `{"seen":0,"copied":0,"present":0,"waiting":0,"excluded":0,"failed":0,"conflict":0,"quarantined":0,"unsafe":0,"unverified":0,"bytes":0}`
	partial := connector.PassReport{ID: "7", Mode: filesync.Apply, Status: status.ConnectionValid, Result: filesync.Result{
		Outcome: filesync.Partial, Started: at, Finished: at.Add(time.Second), Files: counts,
		Failures: []filesync.FileFailure{{Name: "a/b.csv", Error: "permission denied", Hint: "ask"}},
	}}
	const partialJSON = `{"connector":"c","pass":"7","mode":"apply","state":"partial","connection_status":"Connection Valid","hint":"","error":"",` +
		`"started":"2026-01-02T03:04:05Z","finished":"2026-01-02T03:04:06Z","files":` + counted + `,"failures":[{"name":"a/b.csv","error":"permission denied","hint":"ask"}]}`
	entry := filesync.Entry{Name: "a/b.csv", Size: 12, ModTime: at}
	for name, c := range map[string]struct {
		message any
		want    string
	}{
		"pass": {partial.Message("c"), partialJSON},
		"failed pass": {connector.PassReport{ID: "8", Mode: filesync.Automatic, Status: status.HostNotFound, Result: filesync.Result{
			Outcome: filesync.Failed, Started: at, Finished: at, Err: errors.New("resolve x")}}.Message("c"),
			`{"connector":"c","pass":"8","mode":"automatic","state":"failed","connection_status":"Host Not Found","hint":"` + status.HostNotFound.Hint() + `","error":"resolve x",` +
				`"started":"2026-01-02T03:04:05Z","finished":"2026-01-02T03:04:05Z","files":` + none + `,"failures":[]}`},
		"queued pass": {connector.PassReport{Mode: filesync.Apply}.Message("c"),
			`{"connector":"c","pass":"","mode":"apply","state":"queued","connection_status":"Not Checked","hint":"","error":"","finished":null,"files":` + none + `,"failures":[]}`},
		"running pass": {connector.PassReport{ID: "9", Mode: filesync.Apply, Result: filesync.Result{Started: at}}.Message("c"),
			`{"connector":"c","pass":"9","mode":"apply","state":"running","connection_status":"Not Checked","hint":"","error":"","started":"2026-01-02T03:04:05Z","finished":null,"files":` + none + `,"failures":[]}`},
		"pass of the ledger": {ledger.Pass{ID: "3", Mode: filesync.Automatic, State: filesync.Cancelled, Started: at, Error: "killed", Files: counts}.Message("c"),
			`{"connector":"c","pass":"3","mode":"automatic","state":"cancelled","connection_status":"Not Checked","hint":"","error":"killed","started":"2026-01-02T03:04:05Z","finished":null,"files":` + counted + `,"failures":[]}`},
		"check": {interapp.Check{Connector: "c", ConnectionStatus: string(status.ConnectionValid), Stages: []status.Stage{{Stage: "connect", OK: true, MS: 3, Detail: "127.0.0.1:22"}}},
			`{"connector":"c","connection_status":"Connection Valid","hint":"","error":"","stages":[{"stage":"connect","ok":true,"ms":3,"detail":"127.0.0.1:22"}]}`},
		"check without stages": {interapp.Check{Connector: "c", ConnectionStatus: string(status.ConnectionLost), Hint: "h", Error: "e", Stages: []interapp.Stage{}},
			`{"connector":"c","connection_status":"Connection Lost","hint":"h","error":"e","stages":[]}`},
		"delivered file": {ledger.File{State: filesync.StateDelivered, Record: filesync.Record{ID: 1, Gone: true, Delivery: filesync.Delivery{
			Source: entry, Target: filesync.Entry{Name: "b.csv"}, Pass: "7", At: at}}}.Message(),
			`{"name":"a/b.csv","state":"delivered","size":12,"mod_time":"2026-01-02T03:04:05Z","target":"b.csv","pass":"7","delivered_at":"2026-01-02T03:04:05Z","gone":true}`},
		"failed file": {ledger.File{State: filesync.StateFailed, Record: filesync.Record{FailureID: 1, Failure: filesync.Failure{
			Source: entry, Tries: 2, Next: at, Error: "broken"}}}.Message(),
			`{"name":"a/b.csv","state":"failed","size":12,"mod_time":"2026-01-02T03:04:05Z","tries":2,"next_try":"2026-01-02T03:04:05Z","error":"broken"}`},
		"quarantined file": {ledger.File{State: filesync.StateQuarantined, Record: filesync.Record{FailureID: 1, Failure: filesync.Failure{
			Source: filesync.Entry{Name: "x", Size: -1}, Tries: 5, Next: at, Quarantined: true, Error: "broken"}}}.Message(),
			`{"name":"x","state":"quarantined","size":-1,"mod_time":null,"tries":5,"error":"broken"}`},
		"connector": {connector.Report{
			Name: "c", Health: connector.Health{Status: status.ConnectionLost, Since: at, Hint: "h", Error: "e"}, Config: &config.Connector{Direction: config.Download},
			Schedule: config.Schedule{Text: "15m", Interval: 15 * time.Minute}, Next: at, Held: at, Skipped: 2, Last: &partial,
			Running: &connector.PassReport{ID: "8", Mode: filesync.Apply, Result: filesync.Result{Started: at}, Progress: &filesync.Progress{
				Seen: 1, FilesDone: 2, FilesFound: 3, BytesDone: 4, BytesFound: 5, ListingDone: true, Doing: "copying"}},
		}.Message(), `{"name":"c","direction":"download","connection_status":"Connection Lost","since":"2026-01-02T03:04:05Z","hint":"h","error":"e","automatic_sftp_file_sync":"15m",` +
			`"next_pass":"2026-01-02T03:04:05Z","held_until":"2026-01-02T03:04:05Z","skipped_ticks":2,` +
			`"running":{"pass":"8","mode":"apply","started":"2026-01-02T03:04:05Z","progress":{"seen":1,"files_done":2,"files_found":3,"bytes_done":4,"bytes_found":5,"listing_done":true,"doing":"copying"}},` +
			`"last_pass":` + partialJSON + `}`},
		"change of status": {connector.Health{Status: status.ConnectionLost, Since: at, Hint: "h", Error: "e"}.Event("c"),
			`{"connector":"c","connection_status":"Connection Lost","since":"2026-01-02T03:04:05Z","hint":"h","error":"e"}`},
		"pass that ended just now": {partial.Event("c"), partialJSON[:len(partialJSON)-1] + `,"progress":null}`},
		"pass under way": {connector.PassReport{ID: "9", Mode: filesync.Apply, Result: filesync.Result{Started: at}, Progress: &filesync.Progress{Seen: 1, Doing: "copying"}}.Event("c"),
			`{"connector":"c","pass":"9","mode":"apply","state":"running","connection_status":"Not Checked","hint":"","error":"","started":"2026-01-02T03:04:05Z","finished":null,"files":` + none + `,"failures":[],` +
				`"progress":{"seen":1,"files_done":0,"files_found":0,"bytes_done":0,"bytes_found":0,"listing_done":false,"doing":"copying"}}`},
		"file that was copied": {filesync.Delivered{Delivery: filesync.Delivery{Source: entry, Target: filesync.Entry{Name: "b.csv"}, Pass: "7", At: at}}.Event("c"),
			`{"connector":"c","name":"a/b.csv","state":"delivered","size":12,"mod_time":"2026-01-02T03:04:05Z","target":"b.csv","pass":"7","delivered_at":"2026-01-02T03:04:05Z"}`},
		"file that was there": {filesync.Delivered{Delivery: filesync.Delivery{Source: filesync.Entry{Name: "x", Size: -1}, Target: filesync.Entry{Name: "x"}, Pass: "7", At: at, Adopted: true}}.Event("c"),
			`{"connector":"c","name":"x","state":"present","size":-1,"mod_time":null,"target":"x","pass":"7","delivered_at":"2026-01-02T03:04:05Z"}`},
		"pass of an import": {connector.PassReport{Mode: filesync.Automatic}.Message("spaces/us_1"),
			`{"connector":"spaces/us_1","space":"us_1","pass":"","mode":"automatic","state":"queued","connection_status":"Not Checked","hint":"","error":"","finished":null,"files":` + none + `,"failures":[]}`},
		"change of a Space's status": {connector.Health{Status: status.DestinationUnavailable, Since: at, Hint: "h", Error: "e"}.Event("spaces/us_1"),
			`{"connector":"spaces/us_1","space":"us_1","connection_status":"Destination Unavailable","since":"2026-01-02T03:04:05Z","hint":"h","error":"e"}`},
		"imported file": {filesync.Delivered{Delivery: filesync.Delivery{Source: entry, Target: entry, Pass: "7", At: at}}.Event("spaces/us_1"),
			`{"connector":"spaces/us_1","space":"us_1","name":"a/b.csv","state":"delivered","size":12,"mod_time":"2026-01-02T03:04:05Z","target":"a/b.csv","pass":"7","delivered_at":"2026-01-02T03:04:05Z"}`},
		"Space": {space.Status{
			ID: "us_1", Bytes: 3, Files: 2, MaximumFileSize: 100, Quota: 200,
			Sessions:    []sshd.Session{{Space: "us_1", Address: "192.0.2.1", Client: "SSH-2.0-x", Since: at, Received: 5, Sent: 7}},
			Credentials: []credentials.Info{{ID: "k1", Created: at}, {ID: "k2", Created: at, LastUsed: at, Expires: at}},
		}.Message(connector.Report{Name: "spaces/us_1", Health: connector.Health{Status: status.NotChecked, Since: at}, Config: &config.Connector{Files: config.Files{DestinationDirectoryPath: "/srv"}}}),
			`{"id":"us_1","connection_status":"Not Checked","since":"2026-01-02T03:04:05Z","hint":"","error":"","destination_directory_path":"/srv",` +
				`"inbox":{"bytes":3,"files":2,"entries":0,"maximum_entries":0,"full":"","quota_bytes":200,"maximum_file_size_bytes":100},"importing":null,"last_import":null,` +
				`"sessions":[{"address":"192.0.2.1","client":"SSH-2.0-x","since":"2026-01-02T03:04:05Z","bytes":5}],` +
				`"credentials":[{"id":"k1","created":"2026-01-02T03:04:05Z","by":"","last_used":null,"expires":null},{"id":"k2","created":"2026-01-02T03:04:05Z","by":"","last_used":"2026-01-02T03:04:05Z","expires":"2026-01-02T03:04:05Z"}],` +
				`"public_host":"","public_port":0,"host_keys":[]}`},
		"login": {space.Login{Created: credentials.Created{Space: "us_1", Info: credentials.Info{ID: "k1", Created: at}}, Host: "h", Port: 22}.Message(),
			`{"space":"us_1","id":"k1","created":"2026-01-02T03:04:05Z","by":"","last_used":null,"expires":null,"login":{"username":"us_1","password":"","host":"h","port":"22"},"dropped":[]}`},
		"idle connector": {connector.Report{Name: "c", Health: connector.Health{Status: status.NotChecked, Since: at}, Config: &config.Connector{Direction: config.Download}}.Message(),
			`{"name":"c","direction":"download","connection_status":"Not Checked","since":"2026-01-02T03:04:05Z","hint":"","error":"","automatic_sftp_file_sync":"N/A",` +
				`"next_pass":null,"held_until":null,"skipped_ticks":0,"running":null,"last_pass":null}`},
	} {
		got, err := json.Marshal(c.message)
		if err != nil || string(got) != c.want {
			t.Errorf("%s (%v):\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}
