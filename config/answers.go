package config

import (
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// Answers are what a server is answered that asks for more than a user and a
// password, by pattern: a part of its prompt, or a glob for all of it.
type Answers map[string]Secret

// maxAnswers is how many a connector may have: no server asks for as much.
const maxAnswers = 100

// Reveal gives the answers themselves.
func (a Answers) Reveal() map[string]string {
	if len(a) == 0 {
		return nil
	}
	revealed := make(map[string]string, len(a))
	for pattern, answer := range a {
		revealed[pattern] = answer.Reveal()
	}
	return revealed
}

// secrets decodes a mapping of secrets with keys of the user's choice. A key
// with _file behind it names the file that holds its secret.
func (d *decoder) secrets(n *yaml.Node, v reflect.Value, at *place) {
	entries, ok := d.entries(n, at)
	if !ok {
		return
	}
	if len(entries) > maxAnswers {
		at.fail("too many answers; allowed: up to %d", maxAnswers)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	set := func(e entry, key string, decode func(reflect.Value)) {
		if strings.TrimSpace(key) == "" {
			at.beside(e.key, e.line).fail("an empty prompt; allowed: a part of the prompt, or a glob for all of it")
			return
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if given := v.MapIndex(reflect.ValueOf(key)); given.IsValid() {
			item.Set(given)
		}
		decode(item)
		v.SetMapIndex(reflect.ValueOf(key), item)
	}
	var twins []entry
	for _, e := range entries {
		if strings.HasSuffix(e.key, fileTwin) {
			twins = append(twins, e)
			continue
		}
		set(e, e.key, func(item reflect.Value) { d.value(e.node, item, at.put(e.key, e.line)) })
	}
	for _, e := range twins {
		set(e, strings.TrimSuffix(e.key, fileTwin), func(item reflect.Value) { d.secretFile(e, item, at) })
	}
}
