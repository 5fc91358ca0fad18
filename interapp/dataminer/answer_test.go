package dataminer

import (
	"encoding/json"
	"strings"
	"testing"

	"sftpconnector/interapp"
)

const listStart = `{"$type":"System.Collections.Generic.List` + "`" + `1[System.String], ","$values":[`

// base is what every reply has between expectsReply and success.
func base(guid string) string { return `"guid":` + guid + `,"returnAddress":null,"source":null,` }

func TestAnswerToOne(t *testing.T) {
	c := mustParse(t, captured(t))
	reply := interapp.Reply{
		ID: "another", Source: "element 925/187", Success: true, Description: "1 file copied, 1 already present",
		Destination: `\\server\share`, FileNames: []string{"a/x.csv", "é <1>.csv"},
	}
	want := `{"$id":"1","$type":"GetFilesResponse, ","brokerReturnAddress":null,"description":"1 file copied, 1 already present",` +
		`"destinationDirectoryPath":"\\\\server\\share","expectsReply":false,"fileNames":` + listStart + `"a/x.csv","é <1>.csv"]},` +
		base(`"f562dedf-7651-4f1d-85ef-5d296f2c1a34"`) + `"success":true}`
	if got := string(c.Answer([]interapp.Reply{reply})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestAnswerToSeveral: in the envelope that the call had, with every reply in
// its message's place, whether it could be asked or not.
func TestAnswerToSeveral(t *testing.T) {
	one := `{"$id":"2","$type":"GetFilesRequest, ","guid":"\u0061-1"}`
	two := `{"$id":"3","$type":"Ping, ","guid":"b-2"}`
	reply := func(id, guid, description, success string) string {
		return `{"$id":"` + id + `","$type":"GetFilesResponse, ","brokerReturnAddress":null,"description":"` + description +
			`","destinationDirectoryPath":"","expectsReply":false,"fileNames":` + listStart + `]},` + base(guid) + `"success":` + success + `}`
	}
	replies := reply("2", `"\u0061-1"`, "done", "true") + "," +
		reply("3", `"b-2"`, `$type: \"Ping\" is not the class of requests; allowed: GetFilesRequest, as interapp.request_class of the connector has it`, "false")
	const times = `"receivingTime":"0001-01-01T00:00:00","returnAddress":null,"sendingTime":"0001-01-01T00:00:00","source":null}`
	for call, want := range map[string]string{
		`{"$type":"InterAppCall, ","guid":"c","messages":{"$type":"N.Messages, ","$values":[` + one + `,` + two + `]}}`: `{"$id":"1","$type":"InterAppCall, ","expectsReply":false,"guid":"c","messages":{"$type":"N.Messages, ","$values":[` + replies + `]},` + times,
		`{"$type":"InterAppCall,","Guid":"c","messages":[` + one + `,` + two + `]}`:                                     `{"$id":"1","$type":"InterAppCall,","expectsReply":false,"guid":"c","messages":[` + replies + `],` + times,
		`{"$type":{"$id":"2"},"guid":7,"messages":{"$values":[` + one + `,` + two + `]}}`:                               `{"$id":"1","expectsReply":false,"guid":null,"messages":{"$values":[` + replies + `]},` + times,
	} {
		got := string(mustParse(t, call).Answer([]interapp.Reply{
			{Success: true, Description: "done"},
			{Success: true, Description: "of a message that was not asked", FileNames: []string{"x"}},
		}))
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", call, got, want)
		}
	}
}

// FuzzParse: what is read can be answered, each message with its own guid; what
// is not is told in one line.
func FuzzParse(f *testing.F) {
	f.Add([]byte(captured(f)))
	for _, text := range []string{
		"", "{}", `[]`, `{"messages":[]}`, `{"guid":"\ud800"}`, `{"guid":"g","$type":"GetFilesRequest,","source":{"$ref":"1"},"$id":"1"}`,
		`{"$id":"1","guid":"c","messages":{"$values":[{"$id":"2","$type":"GetFilesRequest","guid":"a"},{"$ref":"2"},{"$type":"List` + "`" + `1[[x,y]],z","guid":"b"}]}}`,
		"\ufeff{\"guid\":\"g\",\"GUID\":\"h\",\"fileTimeTo\":\"2024-05-29T15:22:47,8139151Z\",\"timeout\":1e9}", strings.Repeat("[", 100), `{"messages":{"$ref":"1"},"$id":"1"}`,
	} {
		f.Add([]byte(text))
	}
	names := standard(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, names)
		if err != nil {
			if c != nil || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q gives %v, %q", data, c, err)
			}
			return
		}
		answer := c.Answer(make([]interapp.Reply, len(c.Messages)))
		type message struct {
			GUID    string `json:"guid"`
			Success *bool  `json:"success"`
		}
		var got struct {
			message
			Messages json.RawMessage `json:"messages"`
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			t.Fatalf("%q is answered by %s: %v", data, answer, err)
		}
		replies := []message{got.message}
		if len(c.Messages) > 1 {
			var wrapped struct {
				Values []message `json:"$values"`
			}
			if json.Unmarshal(got.Messages, &replies) != nil && json.Unmarshal(got.Messages, &wrapped) == nil {
				replies = wrapped.Values
			}
		}
		if len(replies) != len(c.Messages) {
			t.Fatalf("%q: %d messages, %d replies", data, len(c.Messages), len(replies))
		}
		for i, m := range c.Messages {
			if replies[i].GUID != m.Request.ID || replies[i].Success == nil || *replies[i].Success {
				t.Errorf("%q: message %d is answered by %s", data, i, answer)
			}
		}
	})
}
