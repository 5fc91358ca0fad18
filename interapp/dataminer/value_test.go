package dataminer

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// captured is the call of DataMiner that the package was written for.
func captured(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/call.json")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestCapturedRoundTrip: the captured call, read and written again, is the same bytes.
func TestCapturedRoundTrip(t *testing.T) {
	text := captured(t)
	root, ids, err := read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(root.append(nil)); got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
	if len(ids) != 3 || ids["3"].get("elementId").token != json.Number("187") {
		t.Errorf("got %d objects with an $id", len(ids))
	}
}

// generated draws JSON without white space, with every way to write a value
// that a writer of one's own would not choose.
func generated(t *rapid.T, depth int) string {
	kinds := 4
	if depth == 0 {
		kinds = 2
	}
	text := rapid.Custom(func(t *rapid.T) string {
		return `"` + strings.Join(rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom([]string{`\u0041`, `\/`, `\"`, `\\`, `\ud800`, `\n`, `<`, `é`, "\u2028", "\x7f", `$id`, `,`, `:`, ` `, `{`, `]`}),
			rapid.StringMatching(`[a-z]{1,3}`)), 0, 5).Draw(t, "parts"), "") + `"`
	})
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", "1.0", "1E+3", "1e999", "123456789012345678901234567890", "0.10"}).Draw(t, "literal")
	case 1:
		return text.Draw(t, "text")
	}
	var parts []string
	object := rapid.Bool().Draw(t, "object")
	for range rapid.IntRange(0, 3).Draw(t, "parts") {
		part := generated(t, depth-1)
		if object {
			part = text.Draw(t, "name") + ":" + part
		}
		parts = append(parts, part)
	}
	if object {
		return "{" + strings.Join(parts, ",") + "}"
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// TestRoundTrip: any JSON without white space, read and written again, is the
// same bytes; with white space it becomes the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := generated(t, 4)
		var spread bytes.Buffer
		if err := json.Indent(&spread, []byte(text), "\r\n", "\t"); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for _, written := range []string{text, spread.String(), "\ufeff \n" + text + "\n"} {
			root, _, err := read([]byte(written))
			if err != nil {
				t.Fatalf("%s: %v", written, err)
			}
			if got := string(root.append(nil)); got != text {
				t.Fatalf("got\n%s\nwant\n%s", got, text)
			}
		}
	})
}

func TestReadRefuses(t *testing.T) {
	list := func(items int) string { return "[" + strings.Repeat("0,", items-1) + "0]" }
	nested := func(depth int) string {
		return strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("]}", depth/2)
	}
	for _, text := range []string{list(maxValues - 1), nested(maxDepth)} {
		if _, _, err := read([]byte(text)); err != nil {
			t.Errorf("%.20s…, %d bytes: %v", text, len(text), err)
		}
	}
	for text, want := range map[string]string{
		"":                     "empty; send the serialized InterApp call",
		"\ufeff\r\n":           "empty; send the serialized InterApp call",
		"{\"a\":\"\xff\"}":     "not UTF-8; send the serialized InterApp call in that encoding",
		`{"a":1`:               "not JSON, after 6 of 6 bytes: unexpected end of JSON input",
		`{"a":1,}`:             "not JSON, after 8 of 8 bytes: invalid character '}' looking for beginning of object key string",
		`{} {}`:                "not JSON, after 4 of 5 bytes: invalid character '{' after top-level value",
		`[1 2]`:                "not JSON, after 4 of 5 bytes: invalid character '2' after array element",
		list(maxValues):        "more than 20000 values; send fewer messages in a call",
		nested(maxDepth + 2):   "nested deeper than 64 levels",
		nested(20 * maxValues): "not JSON, after 30001 of 1600000 bytes: invalid character '{' exceeded max depth",
	} {
		if _, _, err := read([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.20q…: got %v, want %s", text, err, want)
		}
	}
}

func TestGet(t *testing.T) {
	root, _, err := read([]byte(`{"A":1,"b":{"C":null},"a":2,"\u0064":3,"B2":4}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"a", "A", "d", "b", "c", "B2"} {
		got[name] = "-"
		if v := root.get(name); v != nil {
			got[name] = string(v.append(nil))
		}
	}
	want := map[string]string{"a": "2", "A": "2", "d": "3", "b": `{"C":null}`, "c": "-", "B2": "4"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	none := root.get("b").get("d").get("e")
	if _, ok := none.str(); ok || !none.null() || none.object() || none.list() || none.kind() != "missing" {
		t.Error("a value that is not there has something")
	}
}

// TestQuoted: a text of our own is one that JSON gives back, as .NET writes it.
func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"": `""`, `a"b\c/d`: `"a\"b\\c/d"`, "<&>'": `"<&>'"`, "é€😀": `"é€😀"`, "a\r\n\tb\x01": `"a\r\n\tb\u0001"`, "\u2028": `"\u2028"`, "\xff": "\"\ufffd\"",
	} {
		got := quoted(in)
		if got != want && got != strings.ReplaceAll(want, "\ufffd", `\ufffd`) {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "text")
		var out string
		if err := json.Unmarshal([]byte(quoted(in)), &out); err != nil || out != strings.ToValidUTF8(in, "\ufffd") {
			t.Errorf("%s became %s, %v", strconv.Quote(in), strconv.Quote(out), err)
		}
	})
}
