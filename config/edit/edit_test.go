package edit

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sftpconnector/config"
)

const exampleFile = "../../config.example.yaml"

func parse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return d
}

func example(t testing.TB) *Document {
	t.Helper()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

// scalarPaths gives the paths of all scalars that are values of a mapping.
func scalarPaths(n *yaml.Node, path []string) (all [][]string) {
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		at := append(slices.Clone(path), n.Content[i].Value)
		if value := n.Content[i+1]; value.Kind == yaml.ScalarNode {
			all = append(all, at)
		} else {
			all = append(all, scalarPaths(value, at)...)
		}
	}
	return all
}

// changedLines counts the lines that go and come.
func changedLines(a, b []byte) (less, more int) {
	for _, s := range compare(strings.SplitAfter(string(a), "\n"), strings.SplitAfter(string(b), "\n")) {
		switch s.op {
		case gone:
			less++
		case come:
			more++
		}
	}
	return less, more
}

// Each scalar of the example can be changed by one line, whatever its new value, with
// either line end.
func TestSetChangesOneLineOfTheExample(t *testing.T) {
	t.Parallel()
	text := example(t).Text()
	for name, text := range map[string][]byte{"LF": text, "CRLF": bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))} {
		d := parse(t, string(text))
		paths := scalarPaths(d.root, nil)
		if len(paths) < 80 {
			t.Fatalf("only %d scalars", len(paths))
		}
		for _, path := range paths {
			for _, value := range []string{"changed", "", "a: b # c", "12", "yes", `EXAMPLE\user`, "it's", "\"q\"", " blank ", "zwei\nZeilen", "ü€😀", "- x", "[a, b]", "${NAME}", "\x01", "null", "~", "#x"} {
				after, err := d.Set(path, Value{Text: value})
				if err != nil {
					t.Errorf("%s: %s = %q: %v", name, dotted(path), value, err)
					continue
				}
				at, err := d.find(path)
				if err != nil {
					t.Fatal(err)
				}
				if at.value.Value == value && !isNull(at.value) {
					continue
				}
				if less, more := changedLines(text, after.Text()); less != 1 || more != 1 {
					t.Errorf("%s: %s = %q: %d lines go and %d come", name, dotted(path), value, less, more)
				}
				if bytes.Count(after.Text(), []byte("#")) < bytes.Count(text, []byte("#")) {
					t.Errorf("%s: %s = %q: a comment went", name, dotted(path), value)
				}
			}
		}
	}
}

// A key that every connector may have can be set, removed and set again in each.
func TestAddAndRemoveInTheExample(t *testing.T) {
	t.Parallel()
	d := example(t)
	for _, connector := range []string{"trace-results", "invoices", "outgoing"} {
		for _, key := range []string{"sftp.connections", "files.settle", "interapp.properties.timeout", "retention", "sftp.interactive_answers.Second answer"} {
			path := append([]string{Connectors, connector}, config.PathOf(key)...)
			after, err := d.Set(path, Value{Text: "7"})
			if err != nil {
				t.Errorf("%s: %v", dotted(path), err)
				continue
			}
			if without, err := after.Remove(path); err != nil {
				t.Errorf("%s: %v", dotted(path), err)
			} else if at, err := without.find(path); err != nil || at.found == len(path) {
				t.Errorf("%s: still there, %v", dotted(path), err)
			}
			at, err := d.find(path)
			if err != nil {
				t.Fatal(err)
			}
			if less, more := changedLines(d.Text(), after.Text()); at.found < len(path) && (less > 1 || more-less > len(path)-at.found) {
				t.Errorf("%s: %d lines go, %d come", dotted(path), less, more)
			}
		}
	}
}

// What the text becomes, byte by byte.
func TestTexts(t *testing.T) {
	t.Parallel()
	set := func(key, value string) func(*Document) (*Document, error) {
		return func(d *Document) (*Document, error) { return d.Set(strings.Split(key, "."), Value{Text: value}) }
	}
	list := func(key string, items ...string) func(*Document) (*Document, error) {
		return func(d *Document) (*Document, error) {
			return d.Set(strings.Split(key, "."), Value{List: items, Many: true})
		}
	}
	remove := func(key string) func(*Document) (*Document, error) {
		return func(d *Document) (*Document, error) { return d.Remove(strings.Split(key, ".")) }
	}
	text := func(name, body string) func(*Document) (*Document, error) {
		return func(d *Document) (*Document, error) { return d.SetConnector(name, body) }
	}
	drop := func(name string) func(*Document) (*Document, error) {
		return func(d *Document) (*Document, error) { return d.RemoveConnector(name) }
	}
	for name, c := range map[string]struct {
		before string
		change func(*Document) (*Document, error)
		after  string
	}{
		"plain":                  {"a: b   # c\n", set("a", "d"), "a: d   # c\n"},
		"no line end":            {"a: b", set("a", "d"), "a: d"},
		"a mark":                 {"\ufeffa: b\n", set("a", "d"), "\ufeffa: d\n"},
		"CRLF":                   {"a: b\r\nc: d\r\n", set("e", "f"), "a: b\r\nc: d\r\ne: f\r\n"},
		"single quotes stay":     {"a: 'b' # c\n", set("a", "it's"), "a: 'it''s' # c\n"},
		"double quotes stay":     {"a: \"b\"\n", set("a", `c\d"`), "a: \"c\\\\d\\\"\"\n"},
		"a number as text":       {"a: b\n", set("a", "12"), "a: \"12\"\n"},
		"a backslash":            {"a: b\n", set("a", `\\X\y: `), "a: '\\\\X\\y: '\n"},
		"behind a colon":         {"a: # c\nb: 1\n", set("a", "x"), "a: x # c\nb: 1\n"},
		"a written null":         {"a: ~ # c\n", set("a", "x"), "a: x # c\n"},
		"behind wide characters": {"ü: {é: ö, a: b}\n", set("ü.a", "x"), "ü: {é: ö, a: x}\n"},
		"in braces":              {"a: {b: c, d: \"e\"} # f\n", set("a.b", "x, y"), "a: {b: \"x, y\", d: \"e\"} # f\n"},
		"added in braces":        {"a: {b: [c, 'd]']} # f\n", set("a.x.v", "z"), "a: {b: [c, 'd]'], x: {v: z}} # f\n"},
		"added in empty braces":  {"a: {}\n", set("a.x", "z"), "a: {x: z}\n"},
		"added to nothing":       {"", set("a.b", "c"), "a:\n  b: c\n"},
		"added to comments":      {"# c", set("a.b", "c"), "# c\na:\n  b: c\n"},
		"added to a null":        {"a: # c\n  # d\nb: 1\n", set("a.x", "v"), "a: # c\n  # d\n  x: v\nb: 1\n"},
		"added at the end":       {"a:\n    b: 1\n    # of c\n\n# of d\nd: 2\n", set("a.x.v", "z"), "a:\n    b: 1\n    x:\n        v: z\n    # of c\n\n# of d\nd: 2\n"},
		"added without line end": {"a:\n  b: 1", set("a.c", "2x"), "a:\n  b: 1\n  c: 2x\n"},
		"removed":                {"a: 1\nb:\n  c: 2 # d\n    # e\n\nf: 3\n", remove("b"), "a: 1\n\nf: 3\n"},
		"removed in braces":      {"a: {b: 1, c: 2, d: 3}\n", remove("a.c"), "a: {b: 1, d: 3}\n"},
		"removed first":          {"a: {b: 1, c: 2}\n", remove("a.b"), "a: {c: 2}\n"},
		"removed last":           {"a: {b: 1, c: 2}\n", remove("a.c"), "a: {b: 1}\n"},
		"removed only":           {"a: {b: 1}\n", remove("a.b"), "a: {}\n"},
		"a list in brackets":     {"a: [b, c] # d\n", list("a", "x", "y: z"), "a: [x, \"y: z\"] # d\n"},
		"quotes of a list stay":  {"a: [\"b\", \"c\"]\n", list("a", "x"), "a: [\"x\"]\n"},
		"an empty list":          {"a: [b]\n", list("a"), "a: []\n"},
		"a list for a text":      {"a: b # c\n", list("a", "x", "v"), "a: [x, v] # c\n"},
		"a text for a list":      {"a: [b, c] # c\n", set("a", "x"), "a: x # c\n"},
		"lines of a list":        {"a:\n  - b # 1\n  - c # 2\n  - d # 3\n", list("a", "b", "x", "d", "e"), "a:\n  - b # 1\n  - x # 2\n  - d # 3\n  - e\n"},
		"fewer lines":            {"a:\n- b # 1\n- c # 2\n- d # 3\nz: 1\n", list("a", "b", "d"), "a:\n- b # 1\n- d # 3\nz: 1\n"},
		"one line more":          {"a:\n- 'b'\nz: 1\n", list("a", "x", "b"), "a:\n- 'x'\n- 'b'\nz: 1\n"},
		"no lines":               {"a: # c\n- b\n- d\nz: 1\n", list("a"), "a: [] # c\nz: 1\n"},
		"a connector added":      {"connectors:\n  a: {x: 1}\n\nspaces: {}\n", text("b", "x: 1 # c\ny:\n  z: 2\n"), "connectors:\n  a: {x: 1}\n  b:\n    x: 1 # c\n    y:\n      z: 2\n\nspaces: {}\n"},
		"the first connector":    {"# c\n", text("b", "x: 1\n"), "# c\nconnectors:\n  b:\n    x: 1\n"},
		"CRLF of a form":         {"connectors:\n  b:\n    x: 1\n", text("b", "x: 1\r\ny: 2\r\n"), "connectors:\n  b:\n    x: 1\n    y: 2\n"},
		"odd indentation stays":  {"connectors:\n  b: # c\n       x: 1\n    # odd\n       y: |\n         t\n  d: {}\n", text("b", "x: 1\n# odd\ny: |\n  t\nz: 3\n"), "connectors:\n  b: # c\n       x: 1\n    # odd\n       y: |\n         t\n       z: 3\n  d: {}\n"},
		"braces to lines":        {"connectors:\n  b: {x: 1} # c\n  d: {}\n", text("b", "x: 1\n"), "connectors:\n  b: # c\n    x: 1\n  d: {}\n"},
		"braces to braces":       {"connectors:\n  b: {x: 1} # c\n", text("b", "{x: 2}\n"), "connectors:\n  b: {x: 2} # c\n"},
		"a connector removed":    {"connectors:\n  a:\n    x: 1\n\n  # of b\n  b:\n    x: 1\n    # more\n\n  # of c\n  c: {}\n", drop("b"), "connectors:\n  a:\n    x: 1\n\n  # of c\n  c: {}\n"},
		"the first removed":      {"connectors:\n  # of all\n  a: {}\n  b: {}\n", drop("a"), "connectors:\n  # of all\n  b: {}\n"},
		"the last removed":       {"connectors:\n  a: {}\nspaces: {}\n", drop("a"), "connectors:\nspaces: {}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after, err := c.change(parse(t, c.before))
			if err != nil {
				t.Fatal(err)
			}
			if string(after.Text()) != c.after {
				t.Errorf("got\n%s\nwant\n%s", after.Text(), c.after)
			}
		})
	}
}

// What is shared, or spans lines, is left to an editor.
func TestAsText(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"anchor":            "a: {b: &x 1}\nc: *x\n",
		"anchor above":      "a: &x {b: 1}\nc: *x\n",
		"alias":             "x: &x 1\na: {b: *x}\n",
		"alias above":       "x: &x {b: 1}\na: *x\n",
		"merge":             "x: &x {b: 1}\na: {<<: *x, b: 1}\n",
		"merged":            "x: &x {b: 1}\na:\n  <<: *x\n",
		"tag":               "a: {b: !!str 1}\n",
		"literal":           "a:\n  b: |\n    1\n",
		"folded":            "a:\n  b: >\n    1\n",
		"plain of lines":    "a:\n  b: one\n    two\n",
		"quoted lines":      "a:\n  b: \"one\n    two\"\n",
		"twice":             "a: {b: 1, b: 2}\n",
		"a mapping":         "a: {b: {c: 1}}\n",
		"below a list":      "a: [b]\n",
		"a key of lines":    "a:\n  ? b\n  : 1\n",
		"braces over lines": "a: {b: {c: 1,\n  d: 2}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parse(t, text)
			after, err := d.Set([]string{"a", "b"}, Value{Text: "x"})
			if name == "a key of lines" && err == nil { // it has its line all the same
				if less, more := changedLines(d.Text(), after.Text()); less != 1 || more != 1 {
					t.Errorf("%s", after.Text())
				}
				return
			}
			if refused := (*AsText)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "as text") {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, text := range map[string]string{"CR alone": "a: 1\rb: 2\n", "NEL": "a: 1 # \u0085\n", "not UTF-8": "a: \xff\n", "two documents": "a: 1\n---\nb: 1\n", "a list": "- a\n", "no YAML": "a: [\n"} {
		if _, err := Parse([]byte(text)); !errors.As(err, new(*AsText)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
