package requests

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"sftpconnector/interapp/dataminer"
)

// FuzzTimes: a time that is taken is the same when it is written out, one without a
// zone is in the connector's (whose offset has seconds before 1900), and what a call of DataMiner takes for a time is one here.
func FuzzTimes(f *testing.F) {
	for _, text := range []string{
		"2024-05-29T15:22:47.8139151+02:00", "2024-05-29T15:22:47", "2024-05-29 15:22", "2024-05-29", "2024-05-29T15:22:47,8139151Z", "0001-01-01T00:00:00", "0000-01-01",
		"2026-03-29T02:30:00", "2026-10-25T02:30:00", "9999-12-31T23:59:59.999999999-23:59", "2024-02-30", "24:00", "2024-05-29T24:00:00Z", "2024-05-29T15:22:47+24:00", "x", "2024-13-01", "2024-05-29T15:22:60Z", " 2024-05-29",
	} {
		f.Add(text)
	}
	zone, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		f.Fatal(err)
	}
	names := dataminer.Names{RequestClass: "Get", ReplyClass: "Got", Properties: dataminer.Properties{
		FileNameFilter: "fileNameFilter", FileTimeFrom: "from", FileTimeTo: "to", Timeout: "timeout", Success: "success",
		Description: "description", FileNames: "fileNames", DestinationDirectoryPath: "destination",
	}}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := instant(text, "from", zone)
		if err != nil {
			if _, ok := errors.AsType[*Invalid](err); !ok || !got.IsZero() {
				t.Errorf("%q is %v, %v", text, got, err)
			}
		} else if text != "" {
			again, err := instant(got.Format(time.RFC3339Nano), "from", zone)
			if got.Year() >= 1900 && got.Year() <= 9999 && (err != nil || !again.Equal(got)) {
				t.Errorf("%q is %v, and written out %v, %v", text, got, again, err)
			}
		}
		quoted, merr := json.Marshal(text)
		if merr != nil {
			t.Fatal(merr)
		}
		call, perr := dataminer.Parse([]byte(`{"$type":"Get","guid":"g","from":`+string(quoted)+`}`), names)
		if perr != nil || call.Messages[0].Err != nil {
			return
		}
		if filter := call.Messages[0].Request.FileTimeFilter; filter != nil {
			if _, err := instant(filter.From, "from", zone); err != nil {
				t.Errorf("a call of DataMiner takes %q, and %v", text, err)
			}
		}
	})
}
