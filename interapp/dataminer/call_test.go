package dataminer

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// standard gives the names that a configuration has which names none.
func standard(t testing.TB) Names {
	t.Helper()
	c, err := config.Parse("c.yaml", []byte(`connectors: {a: {
		sftp: {host: h, username: u, password: p}, files: {source_directory_path: /s, destination_directory_path: d}}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := c.Connectors["a"].InterApp
	return Names{i.RequestClass, i.ReplyClass, Properties(i.Properties)}
}

func mustParse(t testing.TB, text string) *Call {
	t.Helper()
	c, err := Parse([]byte(text), standard(t))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return c
}

func TestCaptured(t *testing.T) {
	c := mustParse(t, captured(t))
	want := interapp.Request{
		ID: "f562dedf-7651-4f1d-85ef-5d296f2c1a34", Source: "element 925/187", FileNameFilter: "*.csv",
		FileTimeFilter: &interapp.FileTimeFilter{From: "2024-05-29T00:00:00Z"},
	}
	if len(c.Messages) != 1 || c.Messages[0].Err != nil || !reflect.DeepEqual(c.Messages[0].Request, want) {
		t.Errorf("got %+v, want %+v", c.Messages, want)
	}
}

// TestForms: the same request in every form that serializers give it.
func TestForms(t *testing.T) {
	const fields = `"fileNameFilter":"*.csv","guid":"g-1"`
	want := interapp.Request{ID: "g-1", FileNameFilter: "*.csv"}
	message := `{"$id":"2","$type":"Acme.Sftp.GetFilesRequest, ",` + fields + `}`
	for name, text := range map[string]string{
		"short name":               `{"$type":"GetFilesRequest, ",` + fields + `}`,
		"full name":                message,
		"no space":                 `{"$type":"GetFilesRequest,",` + fields + `}`,
		"no comma":                 `{"$type":"GetFilesRequest",` + fields + `}`,
		"assembly":                 `{"$type":"Acme.Sftp.GetFilesRequest, Acme.Sftp, Version=1.0.0.0, Culture=neutral, PublicKeyToken=null",` + fields + `}`,
		"nested class":             `{"$type":"Acme.Messages+GetFilesRequest, ",` + fields + `}`,
		"$type at the end":         `{` + fields + `,"$type":"GetFilesRequest, "}`,
		"as in C#":                 `{"$type":"GetFilesRequest, ","FileNameFilter":"*.csv","Guid":"g-1","FileTimeFrom":null}`,
		"the last counts":          `{"$type":"GetFilesRequest, ","FILENAMEFILTER":"*.pdf",` + fields + `}`,
		"properties of others":     `{"$type":"GetFilesRequest, ","more":[{"guid":"x"}],` + fields + `}`,
		"byte order mark":          "\ufeff" + message,
		"list":                     `{"$type":"InterAppCall, ","guid":"c","messages":[` + message + `]}`,
		"list without a root type": `{"guid":"c","messages":[` + message + `]}`,
		"values":                   `{"guid":"c","messages":{"$type":"X.Messages, ","$values":[` + message + `]}}`,
		"reference":                `{"first":` + message + `,"messages":[{"$ref":"2"}]}`,
		"reference ahead":          `{"messages":[{"$ref":"2"}],"z":` + message + `}`,
		"references all over":      `{"a":{"$id":"9","$values":[{"$ref":"2"}]},"messages":{"$ref":"9"},"z":` + message + `}`,
		"escapes":                  `{"$type":"GetFilesRequest, ","\u0066ileNameFilter":"\u002a.csv","guid":"g\u002d1"}`,
		"a default time":           `{"$type":"GetFilesRequest, ","fileTimeFrom":"0001-01-01T00:00:00","fileTimeTo":"0001-01-01T00:00:00+02:00",` + fields + `}`,
		"no time":                  `{"$type":"GetFilesRequest, ","fileTimeFrom":"",` + fields + `}`,
	} {
		got := mustParse(t, text).Messages
		if len(got) != 1 || got[0].Err != nil || !reflect.DeepEqual(got[0].Request, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestFilters(t *testing.T) {
	text := `{"$type":"GetFilesRequest, ","guid":"g","fileNameFilter":"regex:^a","fileTimeFrom":"2024-05-29T15:22:47.8139151+02:00","fileTimeTo":"9999-12-31T23:59:59.9999999","timeout":"90s"}`
	want := interapp.Request{
		ID: "g", FileNameFilter: "regex:^a", Timeout: "90s",
		FileTimeFilter: &interapp.FileTimeFilter{From: "2024-05-29T15:22:47.8139151+02:00", To: "9999-12-31T23:59:59.9999999"},
	}
	if got := mustParse(t, text).Messages[0]; got.Err != nil || !reflect.DeepEqual(got.Request, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOtherNames(t *testing.T) {
	names := Names{
		RequestClass: "Acme.Fetch", ReplyClass: "Acme.Fetched",
		Properties: Properties{"pattern", "since", "until", "patience", "Ok", "why", "which", "where"},
	}
	c, err := Parse([]byte(`{"$type":"Fetch, ","guid":"g","Pattern":"*","since":"2026-01-01","until":"2026-01-02T00:00:00","patience":"1s","fileNameFilter":7}`), names)
	if err != nil {
		t.Fatal(err)
	}
	want := interapp.Request{ID: "g", FileNameFilter: "*", Timeout: "1s", FileTimeFilter: &interapp.FileTimeFilter{From: "2026-01-01", To: "2026-01-02T00:00:00"}}
	if got := c.Messages[0]; got.Err != nil || !reflect.DeepEqual(got.Request, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	const answer = `{"$id":"1","$type":"Acme.Fetched, ","brokerReturnAddress":null,"expectsReply":false,"guid":"g","Ok":true,"returnAddress":null,"source":null,` +
		`"where":"/d","which":{"$type":"System.Collections.Generic.List` + "`" + `1[System.String], ","$values":[]},"why":"0 files copied"}`
	if got := string(c.Answer([]interapp.Reply{{Success: true, Description: "0 files copied", Destination: "/d"}})); got != answer {
		t.Errorf("got\n%s\nwant\n%s", got, answer)
	}
}

func TestSource(t *testing.T) {
	const address = `"returnAddress":{"agentId":925,"elementId":187,"parameterId":9000001}`
	for text, want := range map[string]string{
		`M{} C{}`:                              "",
		`M{"source":null,` + address + `} C{}`: "element 925/187",
		`M{"source":null} C{"source":null,` + address + `}`:                            "element 925/187",
		`M{"source":"billing",` + address + `} C{}`:                                    "billing",
		`M{` + address + `} C{"source":"billing"}`:                                     "billing",
		`M{"source":{"agentId":1,"elementId":2,"name":"billing"}} C{"source":"x"}`:     "billing element 1/2",
		`M{"source":{"agentId":0,"elementId":0,"name":"billing"},` + address + `} C{}`: "billing",
		`M{"source":{"agentId":1,"elementId":2,"name":null}} C{}`:                      "element 1/2",
		`M{"source":{"$ref":"7"}} C{"source":{"$id":"7","name":"billing"}}`:            "billing",
		`M{"source":{"$ref":"7"},` + address + `} C{}`:                                 "element 925/187",
		`M{"source":7,"returnAddress":"x"} C{"returnAddress":{"agentId":"1"}}`:         "",
		`M{"returnAddress":{"agentId":1e99,"elementId":1}} C{}`:                        "",
		`M{"returnAddress":{"agentId":-1,"elementId":1}} C{}`:                          "",
		`M{"source":{"$ref":"7"}} C{"source":{"$id":"7","$ref":"7"}}`:                  "",
	} {
		m, c, _ := strings.Cut(strings.TrimPrefix(text, "M{"), "} C{")
		full := `{"messages":[{"$type":"GetFilesRequest, ","guid":"g",` + m + `}],` + c
		full = strings.ReplaceAll(strings.ReplaceAll(full, ",}", "}"), "],}", "]}")
		if got := mustParse(t, full).Messages[0]; got.Err != nil || got.Request.Source != want {
			t.Errorf("%s: got %q, %v; want %q", text, got.Request.Source, got.Err, want)
		}
	}
}

// TestOneWrongMessage: a mistake in one message leaves the others alone.
func TestOneWrongMessage(t *testing.T) {
	for fields, want := range map[string]string{
		`"$type":"Acme.Ping, "`:     `$type: "Acme.Ping" is not the class of requests; allowed: GetFilesRequest, as interapp.request_class of the connector has it`,
		`"$type":"getfilesrequest"`: `$type: "getfilesrequest" is not the class of requests; allowed: GetFilesRequest, as interapp.request_class of the connector has it`,
		"\"$type\":\"Acme.Generic`1[Acme.GetFilesRequest, Acme], Acme\"": "$type: \"Acme.Generic`1[Acme.GetFilesRequest, Acme]\" is not the class of requests; allowed: GetFilesRequest, as interapp.request_class of the connector has it",
		`"$type":null`: `$type: null; allowed: the class GetFilesRequest`,
		`"a":1`:        `$type: missing; allowed: the class GetFilesRequest`,
		`"$type":"GetFilesRequest","fileNameFilter":["*.csv"]`:           `fileNameFilter: a list; allowed: text or null`,
		`"$type":"GetFilesRequest","fileNameFilter":{"$ref":"7"}`:        `fileNameFilter: an object; allowed: text or null`,
		`"$type":"GetFilesRequest","fileTimeFrom":1716940800`:            `fileTimeFrom: a number; allowed: text or null`,
		`"$type":"GetFilesRequest","timeout":true`:                       `timeout: true or false; allowed: text or null`,
		`"$type":"GetFilesRequest","fileTimeTo":"/Date(1224043200000)/"`: `fileTimeTo: "/Date(1224043200000)/" is not a time; allowed: 2024-05-29T15:22:47.8139151+02:00, the same without a zone for the connector's own, or null`,
		`"$type":"GetFilesRequest","fileTimeTo":"2024-02-30T00:00:00Z"`:  `fileTimeTo: "2024-02-30T00:00:00Z" is not a time; allowed: 2024-05-29T15:22:47.8139151+02:00, the same without a zone for the connector's own, or null`,
		`"$type":"` + strings.Repeat("é", 101) + `"`:                     `$type: "` + strings.Repeat("é", 100) + `…" is not the class of requests; allowed: GetFilesRequest, as interapp.request_class of the connector has it`,
	} {
		right := `{"$type":"GetFilesRequest, ","guid":"right"}`
		c := mustParse(t, `{"messages":[`+right+`,{`+fields+`,"guid":"wrong"},`+right+`]}`)
		for i, m := range c.Messages {
			if i != 1 && (m.Err != nil || m.Request.ID != "right") {
				t.Errorf("%s: message %d is %+v", fields, i, m)
			}
		}
		wrong := c.Messages[1]
		if wrong.Err == nil || wrong.Err.Error() != want {
			t.Errorf("%s: got %v, want %s", fields, wrong.Err, want)
		}
		if (wrong.Request != interapp.Request{ID: "wrong"}) {
			t.Errorf("%s: got %+v", fields, wrong.Request)
		}
	}
}

// TestRefused: what cannot be answered by messages is refused as a whole.
func TestRefused(t *testing.T) {
	many := func(n int) string {
		return `{"messages":[` + strings.Repeat(`{"$type":"GetFilesRequest","guid":"g"},`, n-1) + `{"guid":"g"}]}`
	}
	if c := mustParse(t, many(maxMessages)); len(c.Messages) != maxMessages {
		t.Errorf("%d messages", len(c.Messages))
	}
	for text, want := range map[string]string{
		"":                                      "InterApp call: empty; send the serialized InterApp call",
		`{`:                                     "InterApp call: not JSON, after 1 of 1 bytes: unexpected end of JSON input",
		`"{\"}"`:                                "InterApp call: text; send the string that SerializeToString gives as it is, not serialized once more",
		`[]`:                                    "InterApp call: a list; allowed: an object, of InterAppCall or of a message",
		`null`:                                  "InterApp call: null; allowed: an object, of InterAppCall or of a message",
		`{}`:                                    "InterApp message: guid: missing; allowed: text, which the reply repeats",
		`{"guid":1}`:                            "InterApp message: guid: a number; allowed: text, which the reply repeats",
		`{"guid":""}`:                           "InterApp message: guid: empty; allowed: text, which the reply repeats",
		`{"messages":null}`:                     "InterApp call: messages: null; allowed: a list, as it is or in $values",
		`{"messages":{"$type":"X"}}`:            "InterApp call: messages: missing; allowed: a list, as it is or in $values",
		`{"messages":{"$values":"x"}}`:          "InterApp call: messages: text; allowed: a list, as it is or in $values",
		`{"messages":[]}`:                       "InterApp call: messages: an empty list; allowed: at least one message",
		`{"messages":[{"guid":"g"},7]}`:         "InterApp call: messages[1]: a number; allowed: an object",
		`{"messages":[{"guid":"g"},{}]}`:        "InterApp call: messages[1]: guid: missing; allowed: text, which the reply repeats",
		`{"messages":[{"$ref":"5"}]}`:           "InterApp call: messages[0]: guid: missing; allowed: text, which the reply repeats",
		`{"$id":"1","messages":[{"$ref":"1"}]}`: "InterApp call: messages[0]: guid: missing; allowed: text, which the reply repeats",
		many(maxMessages + 1):                   fmt.Sprintf("InterApp call: messages: %d of them; allowed: %d in a call", maxMessages+1, maxMessages),
	} {
		c, err := Parse([]byte(text), standard(t))
		if err == nil || err.Error() != want || c != nil {
			t.Errorf("%.60s: got %v, %v; want %s", text, c, err, want)
		}
	}
}

func TestClassNames(t *testing.T) {
	for typ, want := range map[string]string{
		"A": "A", "A, ": "A", "A,": "A", " A , B, Version=1": "A", "": "", ",": "",
		"List`1[[System.String, mscorlib]], mscorlib": "List`1[[System.String, mscorlib]]", "A]x,B": "A]x,B",
	} {
		if got := className(typ); got != want {
			t.Errorf("%q: got %q, want %q", typ, got, want)
		}
	}
	for pair, want := range map[[2]string]bool{
		{"A", "A"}: true, {"N.A", "A"}: true, {"A", "N.A"}: true, {"N.O+A", "A"}: true, {"N.A", "N.A"}: true,
		{"N.A", "M.A"}: false, {"A", "B"}: false, {"AA", "A"}: false, {"A", "a"}: false, {"", "A"}: false,
		{"N.G`1[N.A]", "A"}: false, {"N.G`1[N.A]", "G`1[N.A]"}: true,
	} {
		if sameClass(pair[0], pair[1]) != want {
			t.Errorf("%q: not %v", pair, want)
		}
	}
}
