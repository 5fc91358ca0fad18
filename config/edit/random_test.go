package edit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"
)

// drawText draws a file of nested mappings, with comments and what else people write.
func drawText(t *rapid.T) (text string, paths [][]string) {
	step := rapid.IntRange(1, 4).Draw(t, "indentation")
	comment := func() string {
		return rapid.SampledFrom([]string{"", "", " # c", "   # c: d", " #"}).Draw(t, "comment")
	}
	var out strings.Builder
	var block func(depth int, path []string)
	block = func(depth int, path []string) {
		for i := range rapid.IntRange(1, 4).Draw(t, "keys") {
			at := append(slices.Clone(path), fmt.Sprintf("k%d", i))
			indent := strings.Repeat(" ", depth*step)
			if rapid.IntRange(0, 3).Draw(t, "above") == 0 {
				out.WriteString(rapid.SampledFrom([]string{"\n", indent + "# above\n", "# at the edge\n"}).Draw(t, "line"))
			}
			out.WriteString(indent + at[len(at)-1] + ":")
			if depth < 3 && rapid.Bool().Draw(t, "nested") {
				out.WriteString(comment() + "\n")
				block(depth+1, at)
				continue
			}
			value := rapid.SampledFrom([]string{" v", " 'q'", ` "d"`, " 12", "", " ~", " true", " {a: b, c: 'd'}", " {}", " [x, y]", " []", " \"\"", " ü: é", " a b"}).Draw(t, "value")
			if strings.Contains(value, ": é") {
				value = " ü"
			}
			out.WriteString(value + comment() + "\n")
			paths = append(paths, at)
			if value == " {a: b, c: 'd'}" {
				paths = append(paths, append(slices.Clone(at), "a"), append(slices.Clone(at), "c"))
			}
		}
	}
	block(0, nil)
	text = out.String()
	if rapid.Bool().Draw(t, "no line end") {
		text = strings.TrimRight(text, "\n")
	}
	if rapid.Bool().Draw(t, "CRLF") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text, paths
}

// Whatever is set in whatever file reads back as it is, is one line, and nothing else
// of the file changes.
func TestSetReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, paths := drawText(t)
		d, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		path := rapid.SampledFrom(paths).Draw(t, "path")
		if rapid.IntRange(0, 3).Draw(t, "new") == 0 {
			path = append(slices.Clone(path[:len(path)-1]), "new", "er")
		}
		v := Value{Text: rapid.String().Draw(t, "text"), Bare: rapid.Bool().Draw(t, "bare")}
		if rapid.IntRange(0, 2).Draw(t, "list") == 0 {
			v = Value{Many: true, List: rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "items")}
		}
		at, err := d.find(path)
		if err != nil {
			t.Fatal(err)
		}
		after, err := d.Set(path, v)
		if err != nil {
			if at.found == len(path) && at.value.Kind == yaml.MappingNode || at.found < len(path) && at.value != nil && at.value.Value == "~" {
				return // those are left to an editor
			}
			t.Fatalf("%v: %q = %+v in\n%s", err, path, v, text)
		}
		less, more := changedLines(d.Text(), after.Text())
		if at.found == len(path) && (less > 1 || more > 1) || at.found < len(path) && (less > 1 || more > len(path)-at.found+2) { // one whose line end was missing, and what is behind it
			t.Fatalf("%d lines go, %d come: %q = %+v in\n%s\nis\n%s", less, more, path, v, text, after.Text())
		}
		if at.found < len(path) {
			back, err := after.Remove(path[:at.found+1])
			if err != nil {
				t.Fatalf("remove %q: %v in\n%s", path, err, after.Text())
			}
			if !slices.Equal(outside(factsOf(back.root), path[:at.found+1]), outside(factsOf(d.root), path[:at.found+1])) {
				t.Fatalf("removed again it is\n%s\nwas\n%s", back.Text(), text)
			}
		}
	})
}

// FuzzSet: a change of any text at any place is refused, or changes that place alone.
func FuzzSet(f *testing.F) {
	f.Add("a: {b: 1, c: [x, \"y\"]} # d\ne:\n  - f\n", "a", "b", "x: y")
	f.Add("a: &x\n  b: |\n    1\nc: *x\n", "a", "b", "'")
	f.Add("\ufeffa:\r\n  b: 'it''s' # c\r\n", "a", "d", "\u0085")
	f.Add("? a\n: b: 1\n", "a", "b", "")
	f.Fuzz(func(t *testing.T, text, first, second, value string) {
		d, err := Parse([]byte(text))
		if err != nil {
			return
		}
		path := []string{first, second}
		check := func(what string, after *Document, err error) {
			if err == nil && !slices.Equal(outside(factsOf(after.root), path[:1]), outside(factsOf(d.root), path[:1])) {
				t.Errorf("%s changes more than its place: %q to %q", what, text, after.Text())
			}
		}
		after, err := d.Set(path, Value{Text: value})
		check("set", after, err)
		if err == nil && (after.holds(path, Value{Text: value}) != nil || !utf8.Valid(after.Text())) {
			t.Errorf("%q is not set in %q", value, after.Text())
		}
		after, err = d.Set(path, Value{Many: true, List: []string{value, "x"}})
		check("set a list", after, err)
		after, err = d.Remove(path)
		check("remove", after, err)
		if shown, err := d.Masked(); err == nil {
			if _, err := Parse([]byte(shown)); err != nil {
				t.Errorf("masked, it cannot be read: %q", shown)
			}
		}
		path = []string{Connectors, first}
		after, err = d.SetConnector(first, value)
		if err == nil && !slices.Equal(outside(factsOf(after.root), path), outside(factsOf(d.root), path)) {
			t.Errorf("the text of a connector changes more than it: %q to %q", text, after.Text())
		}
	})
}
