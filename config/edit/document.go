// Package edit changes one value of a configuration file by replacing its bytes:
// comments, order, line ends and indentation of all the rest stay. Whatever it cannot
// change so with certainty is an *AsText, and is to be changed with an editor.
package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// AsText says that something cannot be changed by its key.
type AsText struct {
	Key string // with dots
	Why string
}

// Error gives the key, the reason and what to do.
func (e *AsText) Error() string { return e.Key + ": " + e.Why + "; change it as text" }

func asText(path []string, format string, args ...any) error {
	return &AsText{Key: dotted(path), Why: fmt.Sprintf(format, args...)}
}

// ErrAbsent: there is no such key in the file.
var ErrAbsent = errors.New("the file does not have it")

// Document is the text of a configuration file, and where its values stand.
// It is never changed: each change gives another text.
type Document struct {
	text  []byte
	all   string     // text
	root  *yaml.Node // the mapping at the top; nil: the file has none
	lines []int      // the offset at which each line starts
	end   string     // of a line
}

// mark is the byte order mark of UTF-8.
const mark = "\ufeff"

// Parse reads a text. It takes mistakes that are none of YAML's.
func Parse(text []byte) (*Document, error) {
	d := &Document{text: text, all: string(text), end: "\n", lines: []int{0}}
	if bytes.HasPrefix(text, []byte(mark)) {
		d.lines[0] = len(mark)
	}
	for i, b := range text {
		if b == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		d.end = "\r\n"
	}
	if !utf8.Valid(text) || foreignBreaks(text) {
		return nil, &AsText{Key: "the file", Why: "it has line ends, or characters, that only an editor should touch"}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return d, nil
	} else if err != nil {
		return nil, &AsText{Key: "the file", Why: "it is not valid YAML"}
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &AsText{Key: "the file", Why: "it holds more than one document"}
	}
	switch top := document.Content[0]; {
	case isNull(top):
	case top.Kind != yaml.MappingNode:
		return nil, &AsText{Key: "the file", Why: "it is not a mapping"}
	default:
		d.root = top
	}
	return d, nil
}

// foreignBreaks reports whether YAML sees line ends that are none to us.
func foreignBreaks(text []byte) bool {
	for i, b := range text {
		if b == '\r' && (i+1 == len(text) || text[i+1] != '\n') {
			return true
		}
	}
	return bytes.ContainsAny(text, "\u0085\u2028\u2029")
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Text is the text itself; it must not be changed.
func (d *Document) Text() []byte { return d.text }

// offset is where a node starts. Columns of YAML are characters.
func (d *Document) offset(n *yaml.Node) int {
	at := d.lines[min(max(n.Line-1, 0), len(d.lines)-1)]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(d.text[at:])
		at += size
	}
	return at
}

// line gives a line, counted from 1, without its end.
func (d *Document) line(number int) string {
	return strings.TrimRight(d.all[d.lines[number-1]:d.after(number)], "\r\n")
}

// after is the offset behind a line and its end.
func (d *Document) after(number int) int {
	if number >= len(d.lines) {
		return len(d.text)
	}
	return d.lines[number]
}

// lineEnd is the offset behind what a line has, before its end.
func (d *Document) lineEnd(number int) int { return d.lines[number-1] + len(d.line(number)) }

// spot is where a key stands, or would stand.
type spot struct {
	found   int        // how many keys of the path are there
	mapping *yaml.Node // that has the last of them, or would have the next one; nil: the file is empty
	key     *yaml.Node // the last key that is there; nil: none
	value   *yaml.Node // its value
}

// find looks for a path. What an anchor, an alias or a merge makes shared is an *AsText.
func (d *Document) find(path []string) (spot, error) {
	at := spot{value: d.root}
	for i, name := range path {
		if at.value == nil || isNull(at.value) {
			return at, nil
		}
		if err := shared(at.value, path[:i]); err != nil {
			return spot{}, err
		}
		if at.value.Kind != yaml.MappingNode {
			return spot{}, asText(path[:i], "it is not a mapping")
		}
		key, value, err := entryOf(at.value, name, path[:i])
		if err != nil {
			return spot{}, err
		}
		at.mapping = at.value
		if key == nil {
			at.value = nil // at.key is that of the mapping
			return at, nil
		}
		at = spot{found: i + 1, mapping: at.mapping, key: key, value: value}
	}
	return at, shared(at.value, path)
}

// entryOf gives a key of a mapping with its value; nil where it has none.
func entryOf(mapping *yaml.Node, name string, path []string) (key, value *yaml.Node, err error) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		k := mapping.Content[i]
		switch {
		case k.ShortTag() == "!!merge":
			return nil, nil, asText(path, "it merges another mapping by <<")
		case k.Kind != yaml.ScalarNode || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0:
			return nil, nil, asText(path, "it has a key that is not plain text")
		case k.Value == name && key != nil:
			return nil, nil, asText(append(slices.Clone(path), name), "it is given twice")
		case k.Value == name:
			key, value = k, mapping.Content[i+1]
		}
	}
	return key, value, nil
}

// shared refuses a node that stands in more than one place, or has a tag.
func shared(n *yaml.Node, path []string) error {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.AliasNode:
		return asText(path, "it is an alias (*%s)", n.Value)
	case n.Anchor != "":
		return asText(path, "it has an anchor (&%s)", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		return asText(path, "it has a tag")
	}
	return nil
}

// fact is one node of a document, for comparing.
type fact struct {
	path   string // of keys, each with a NUL behind it
	key    bool   // a key of the mapping there; else what is there
	kind   yaml.Kind
	tag    string
	anchor string
	value  string
}

// factsOf lists a document's nodes in their order. Aliases are not followed: where
// they lead is listed where it stands.
func factsOf(n *yaml.Node) []fact {
	var facts []fact
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		if n == nil {
			return
		}
		facts = append(facts, fact{path, false, n.Kind, n.ShortTag(), n.Anchor, n.Value})
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i]
				facts = append(facts, fact{path, true, key.Kind, key.ShortTag(), key.Anchor, key.Value})
				walk(n.Content[i+1], path+escapedKey(key.Value)+"\x00")
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(item, path+"["+strconv.Itoa(i)+"]\x00")
			}
		}
	}
	walk(n, "")
	return facts
}

// escapedKey is a key without a NUL.
func escapedKey(key string) string {
	if !strings.ContainsAny(key, "\x00\x01") {
		return key
	}
	return strings.NewReplacer("\x01", "\x01\x01", "\x00", "\x01\x02").Replace(key)
}

func joined(path []string) string {
	var out strings.Builder
	for _, key := range path {
		out.WriteString(escapedKey(key) + "\x00")
	}
	return out.String()
}

// outside leaves out of facts what is at or below a path, and that the mappings
// around it are there, which an empty one is as nothing at all.
func outside(facts []fact, path []string) []fact {
	changed := joined(path)
	return slices.DeleteFunc(slices.Clone(facts), func(f fact) bool {
		if strings.HasPrefix(f.path, changed) {
			return true
		}
		if !strings.HasPrefix(changed, f.path) {
			return false
		}
		// The mappings around it, and the keys that lead to it.
		next, _, _ := strings.Cut(strings.TrimPrefix(changed, f.path), "\x00")
		return !f.key || f.kind == yaml.ScalarNode && f.anchor == "" && escapedKey(f.value) == next
	})
}

// changed checks a text that was made of d: outside of the path it says what d says.
func (d *Document) changed(text []byte, path []string) (*Document, error) {
	after, err := Parse(text)
	if err != nil {
		return nil, asText(path, "the file would not be read as it was meant")
	}
	if !slices.Equal(outside(factsOf(d.root), path), outside(factsOf(after.root), path)) {
		return nil, asText(path, "it cannot be told apart from what stands around it")
	}
	return after, nil
}

// splice puts a text in the place of the bytes from start to end.
type splice struct {
	start, end int
	text       string
}

// spliced makes the changes, which do not overlap.
func (d *Document) spliced(changes ...splice) []byte {
	slices.SortStableFunc(changes, func(a, b splice) int { return a.start - b.start })
	var out bytes.Buffer
	at := 0
	for _, c := range changes {
		out.Write(d.text[at:c.start])
		out.WriteString(c.text)
		at = c.end
	}
	out.Write(d.text[at:])
	return out.Bytes()
}

func dotted(path []string) string { return strings.Join(path, ".") }
