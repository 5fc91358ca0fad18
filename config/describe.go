package config

import (
	"encoding"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Setting is one key with its effective value, and where that comes from.
type Setting struct {
	Key     string   // below its connector, or from the top, with dots
	Value   string   // as YAML writes a scalar, or the items of a list; empty for a secret
	Values  []string // the items of a list
	List    bool
	Default string   // what it is without the file
	Written string   // as the file has it, with its ${NAME}; empty for a secret that is written out
	Line    int      // where the file has it; 0: it has it not
	Secret  bool     // it is never shown
	Set     bool     // the file has a value, or the name of a file with one
	Bare    bool     // a number, a truth value or the like
	Allowed []string // the words that it may be
	Doc     string
}

// Description is what a configuration file comes to, beside what it says.
type Description struct {
	Config   *Config // nil where the file cannot be read at all
	Mistakes Errors
	root     *yaml.Node
}

// Describe explains a configuration, also one with mistakes, as far as it can be read.
// The arguments are those of Parse. Its error is that of a file name.
func Describe(file string, text []byte, env func(string) (string, bool)) (Description, error) {
	c, _, err := readAll(file, text, env)
	var mistakes Errors
	if err != nil && !errors.As(err, &mistakes) {
		return Description{}, err
	}
	return Description{Config: c, Mistakes: mistakes, root: parseYAML(text, &report{})}, nil
}

// General gives the settings that are none of a connector's or a Space's.
func (d Description) General() []Setting {
	if d.Config == nil {
		return nil
	}
	plain := new(Config)
	plain.setDefaults()
	one := describer{skip: []string{"connectors", "spaces"}}
	one.structure("", reflect.ValueOf(*d.Config), reflect.ValueOf(*plain), d.root)
	return one.settings
}

// Connector gives the settings of a connector; ok is false where there is none.
func (d Description) Connector(name string) (settings []Setting, ok bool) {
	if d.Config == nil || d.Config.Connectors[name] == nil {
		return nil, false
	}
	plain := new(Connector)
	plain.setDefaults()
	plain.SFTP.KnownHostsPath = filepath.Join(d.Config.DataDirectory, "known_hosts")
	one := describer{docs: "connectors."}
	at := child(child(d.root, "connectors").value, name).value
	one.structure("", reflect.ValueOf(*d.Config.Connectors[name]), reflect.ValueOf(*plain), at)
	return one.settings, true
}

// NewConnector gives the settings of a connector that has none of its own yet.
func NewConnector() []Setting {
	plain := new(Connector)
	plain.setDefaults()
	d := describer{docs: "connectors."}
	d.structure("", reflect.ValueOf(*plain), reflect.ValueOf(*plain), nil)
	return d.settings
}

// describer gathers the settings of a mapping.
type describer struct {
	docs     string   // what stands before a key in the table of sentences
	skip     []string // keys at the top
	settings []Setting
}

// written is a key of the file with its value; the zero one is none.
type written struct {
	line  int
	value *yaml.Node
}

// child finds a key of a mapping, also one that is merged into it.
func child(n *yaml.Node, key string) written {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return written{}
	}
	d := decoder{}
	entries, _ := d.entries(n, &place{report: &report{}})
	for _, e := range entries {
		if e.key != key {
			continue
		}
		if e.node.Kind == yaml.AliasNode {
			return written{e.line, e.node.Alias}
		}
		return written{e.line, e.node}
	}
	return written{}
}

func (w written) set() bool { return w.value != nil && !isNull(w.value) }

func (d *describer) structure(path string, v, plain reflect.Value, n *yaml.Node) {
	for _, f := range fieldsOf(v.Type()) {
		key := joinKey(path, f.key)
		if !slices.Contains(d.skip, key) {
			d.setting(key, v.Field(f.index), plain.Field(f.index), f.twin, child(n, f.key), child(n, f.key+fileTwin))
		}
	}
}

// setting describes one key; twin says that it is that of a file with a secret.
func (d *describer) setting(key string, v, plain reflect.Value, twin bool, at, other written) {
	s := Setting{Key: key, Line: at.line, Set: at.set(), Doc: d.doc(key)}
	switch value := v.Interface().(type) {
	case Secret:
		if twin {
			s.Value, s.Written = plainly(at.value), plainly(at.value)
			s.Doc = "Names the file that holds " + strings.TrimSuffix(key[strings.LastIndex(key, ".")+1:], fileTwin) + ", instead of writing it here."
			break
		}
		s.Secret, s.Set = true, at.set() && at.value.Value != "" || other.set() && other.value.Value != ""
		s.Written = variableOnly(at.value)
	case Answers:
		d.settings = append(d.settings, Setting{Key: key, Line: at.line, Set: len(value) > 0, Secret: true, Doc: s.Doc})
		for _, prompt := range prompts(at.value) {
			one := child(at.value, prompt)
			if strings.HasSuffix(prompt, fileTwin) {
				d.settings = append(d.settings, Setting{Key: key + "." + prompt, Value: plainly(one.value), Written: plainly(one.value), Line: one.line, Set: true, Doc: "Names the file that holds this answer."})
				continue
			}
			d.settings = append(d.settings, Setting{Key: key + "." + prompt, Secret: true, Set: true, Line: one.line, Written: variableOnly(one.value), Doc: "The answer to this prompt."})
		}
		return
	default:
		if d.group(key, v, plain, at.value) {
			return
		}
		s.Value, s.Values = effective(v)
		s.Default, _ = effective(plain)
		s.List, s.Bare = v.Kind() == reflect.Slice, v.Kind() != reflect.String && v.Kind() != reflect.Slice
		s.Written, s.Allowed = plainly(at.value), wordsOf(v)
	}
	d.settings = append(d.settings, s)
}

// group describes what has settings of its own: a mapping, or a list of them.
func (d *describer) group(key string, v, plain reflect.Value, n *yaml.Node) bool {
	_, text := v.Interface().(encoding.TextMarshaler)
	switch {
	case text:
		return false
	case v.Kind() == reflect.Struct:
		d.structure(key, v, plain, n)
		return true
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			var item *yaml.Node
			if n != nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
				item = n.Content[i]
			}
			d.structure(key+"["+strconv.Itoa(i)+"]", v.Index(i), reflect.Zero(v.Type().Elem()), item)
		}
		return true
	}
	return false
}

// doc is the sentence about a key.
func (d *describer) doc(key string) string {
	for {
		start, end := strings.Index(key, "["), strings.Index(key, "]")
		if start < 0 || end < start {
			return sentences()[d.docs+key]
		}
		key = key[:start] + key[end+1:]
	}
}

// prompts are the keys of a mapping in their order.
func prompts(n *yaml.Node) []string {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	d := decoder{}
	entries, _ := d.entries(n, &place{report: &report{}})
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.key
	}
	return keys
}

// effective is a value as YAML writes a scalar, and the items of a list. A limit that is
// none is empty.
func effective(v reflect.Value) (text string, items []string) {
	if v.Kind() == reflect.Slice {
		items = []string{}
		for i := range v.Len() {
			item, _ := effective(v.Index(i))
			items = append(items, item)
		}
		return strings.Join(items, ", "), items
	}
	switch value := v.Interface().(type) {
	case Size, Rate:
		if v.Int() == 0 {
			return "", nil
		}
	case TimeZone:
		return value.String(), nil
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err == nil {
			return string(text), nil
		}
	}
	return fmt.Sprint(v.Interface()), nil
}

// plainly is what the file has, before ${NAME}: a scalar, or the items of a list.
func plainly(n *yaml.Node) string {
	switch {
	case n == nil || isNull(n):
		return ""
	case n.Kind == yaml.ScalarNode:
		return n.Value
	case n.Kind == yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			items[i] = plainly(item)
		}
		return strings.Join(items, ", ")
	}
	return ""
}

// variableOnly is what the file has for a secret, if that is a variable and nothing else.
func variableOnly(n *yaml.Node) string {
	text := plainly(n)
	name, ok := strings.CutPrefix(text, "${")
	if !ok || !strings.HasSuffix(name, "}") || !variableName(strings.TrimSuffix(name, "}")) {
		return ""
	}
	return text
}

// wordsOf are the words that a value may be; nil where there are more.
func wordsOf(v reflect.Value) []string {
	t := v.Type()
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Bool {
		return []string{"false", "true"}
	}
	if w, ok := reflect.Zero(t).Interface().(interface{ Words() []string }); ok {
		return w.Words()
	}
	return nil
}
