package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder fills Go values from YAML nodes. It has fewer liberties than yaml.v3's
// own decoder and knows the line of every key afterwards.
type decoder struct {
	dir string // where relative paths start
	env func(string) (string, bool)
}

// defaulter is a value that has defaults which the file may change.
type defaulter interface{ setDefaults() }

// value decodes n into v. A null leaves v as it is: the key might as well not be there.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at *place) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 {
		at.fail("YAML tags are not used here; put quotes around a value that starts with !")
		return
	}
	if isNull(n) {
		return
	}
	at.given = true
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.scalar(n, v, at)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, at)
	case reflect.Map:
		if v.Type().Elem() == reflect.TypeFor[Secret]() {
			d.secrets(n, v, at)
			return
		}
		d.mapping(n, v, at)
	case reflect.Slice:
		d.list(n, v, at)
	default:
		d.scalar(n, v, at)
	}
}

// structure decodes a mapping whose keys are the fields of v.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, at *place) {
	t := v.Type()
	known := make(map[string]field)
	for _, f := range fieldsOf(t) {
		known[f.key] = f
	}
	entries, ok := d.entries(n, at)
	if !ok {
		return
	}
	var twins []entry
	for _, e := range entries {
		f, ok := known[e.key]
		switch {
		case !ok:
			unknownKey(t, e, at)
		case f.twin:
			twins = append(twins, e)
		default:
			d.value(e.node, v.Field(f.index), at.put(e.key, e.line))
		}
	}
	for _, e := range twins {
		d.secretFile(e, v.Field(known[e.key].index), at)
	}
}

// mapping decodes a mapping with keys of the user's choice into a map of pointers.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at *place) {
	entries, ok := d.entries(n, at)
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		item := reflect.New(v.Type().Elem().Elem())
		if target, ok := item.Interface().(defaulter); ok {
			target.setDefaults()
		}
		d.value(e.node, item.Elem(), at.put(e.key, e.line))
		v.SetMapIndex(reflect.ValueOf(e.key), item)
	}
}

// oneOrMore is a list whose only item may stand without it.
type oneOrMore interface{ oneOrMore() }

// list decodes a sequence; an empty one is a nil slice.
func (d *decoder) list(n *yaml.Node, v reflect.Value, at *place) {
	if _, ok := v.Interface().(oneOrMore); ok && n.Kind == yaml.ScalarNode {
		item := reflect.New(v.Type().Elem()).Elem()
		d.scalar(n, item, at)
		v.SetZero()
		v.Set(reflect.Append(v, item))
		return
	}
	if n.Kind != yaml.SequenceNode {
		at.fail("must be a list, not %s; allowed: [one, two], or a line with \"- \" for each", kindOf(n))
		return
	}
	v.SetZero()
	for i, node := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(node, item, at.put("["+strconv.Itoa(i)+"]", node.Line))
		v.Set(reflect.Append(v, item))
	}
}

// scalar decodes a single value. A string takes a number or a word such as yes
// exactly as it is written, so that a password of digits needs no quotes.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at *place) {
	_, secret := v.Interface().(Secret)
	if n.Kind != yaml.ScalarNode {
		at.fail("must be %s, not %s", wanted(v), kindOf(n))
		return
	}
	// A value with an anchor may be a password that an alias brought to another key.
	if !secret && n.Anchor == "" {
		at.text = n.Value
	}
	text, err := expand(n.Value, d.env)
	if err != nil {
		at.fail("%v", err)
		return
	}
	if target, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := target.UnmarshalText([]byte(text)); err != nil {
			at.refuse("%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			at.refuse("must be %s", wanted(v))
			return
		}
		v.SetBool(text == "true")
	case reflect.Int:
		number, err := strconv.ParseInt(text, 10, strconv.IntSize)
		// Leading zeros and signs mean different numbers to different readers of YAML.
		if err != nil || strconv.FormatInt(number, 10) != text {
			at.refuse("must be %s", wanted(v))
			return
		}
		v.SetInt(number)
	}
}

// maxSecretFile bounds a file that holds a secret, in bytes.
const maxSecretFile = 64 << 10

// secretFile reads the file that the _file twin of a secret names into v.
func (d *decoder) secretFile(e entry, v reflect.Value, parent *place) {
	inline := strings.TrimSuffix(e.key, fileTwin)
	at := parent.put(e.key, e.line)
	var path string
	d.value(e.node, reflect.ValueOf(&path).Elem(), at)
	if at.bad {
		parent.at(inline).bad = true
		return
	}
	if path == "" {
		return
	}
	if v.String() != "" || parent.at(inline).bad {
		at.fail("%s is given too; allowed: one of the two", inline)
		return
	}
	parent.parts[inline] = at // later checks of the secret are about this line
	secret, err := readSecret(d.dir, path)
	if err != nil {
		at.fail("%v", err)
		return
	}
	v.SetString(secret)
}

// readSecret reads a secret without the line end behind it. Its errors do not
// repeat the path: it may be the secret itself, in the wrong key.
func readSecret(dir, path string) (string, error) {
	path, err := resolve(dir, path)
	if err != nil {
		return "", err
	}
	unreadable := func(err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("there is none")
		}
		if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("the file cannot be read: %w; a relative path starts at the configuration file's directory", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", unreadable(err)
	}
	if !info.Mode().IsRegular() { // a pipe would wait for its writer
		return "", unreadable(errors.New("not a regular file"))
	}
	file, err := os.Open(path)
	if err != nil {
		return "", unreadable(err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", unreadable(err)
	}
	if len(text) > maxSecretFile {
		return "", fmt.Errorf("the file is too large for a secret; allowed: up to %d KiB", maxSecretFile>>10)
	}
	secret, err := secretText(text)
	if err != nil {
		return "", err
	}
	if secret == "" {
		return "", errors.New("the file is empty; it must hold the secret")
	}
	return secret, nil
}

// entry is one key of a mapping with its value.
type entry struct {
	key  string
	line int
	node *yaml.Node
}

// entries gives the keys of a mapping, those merged in by << behind its own.
func (d *decoder) entries(n *yaml.Node, at *place) ([]entry, bool) {
	if n.Kind != yaml.MappingNode {
		at.fail("must be a mapping, not %s; allowed: lines of \"key: value\", indented below it", kindOf(n))
		return nil, false
	}
	var entries []entry
	gather(n, at, &entries, make(map[string]bool), make(map[*yaml.Node]bool))
	return entries, true
}

// gather appends the entries of n that are not taken yet, then those of what it
// merges. A merged key gives way to one of n's, and to the other form (inline
// or _file) of the same secret. visited ends merges that go in circles.
func gather(n *yaml.Node, at *place, entries *[]entry, taken map[string]bool, visited map[*yaml.Node]bool) {
	visited[n] = true
	own := make(map[string]int)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, node := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merges = append(merges, node)
			continue
		}
		if key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 {
			at.beside("?", key.Line).fail("a key must be plain text")
			continue
		}
		if first, twice := own[key.Value]; twice {
			at.beside(key.Value, key.Line).fail("given twice, first on line %d; allowed: once", first)
			continue
		}
		own[key.Value] = key.Line
		if !taken[strings.TrimSuffix(key.Value, fileTwin)] {
			*entries = append(*entries, entry{key: key.Value, line: key.Line, node: node})
		}
	}
	for key := range own {
		taken[strings.TrimSuffix(key, fileTwin)] = true
	}
	for _, merge := range merges {
		mergeInto(merge, at, entries, taken, visited)
	}
}

// mergeInto gathers what one << names: a mapping or a list of them, the first winning.
func mergeInto(merge *yaml.Node, at *place, entries *[]entry, taken map[string]bool, visited map[*yaml.Node]bool) {
	line := merge.Line
	sources := []*yaml.Node{merge}
	if merge.Kind == yaml.SequenceNode {
		sources = merge.Content
	}
	for _, source := range sources {
		if source.Kind == yaml.AliasNode {
			source = source.Alias
		}
		switch {
		case source.Kind != yaml.MappingNode:
			at.beside("<<", line).fail("merges mappings only; allowed: *name or [*one, *two]")
		case !visited[source]:
			gather(source, at, entries, taken, visited)
		}
	}
}

// kindOf names what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// wanted names what a scalar of v's type is.
func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "text"
}
