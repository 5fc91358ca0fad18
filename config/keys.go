package config

import (
	"reflect"
	"slices"
	"strings"
)

// fileTwin is what the key of a secret gets behind it when the value is the
// name of a file that holds the secret.
const fileTwin = "_file"

// field is a key that a type of the configuration has.
type field struct {
	key   string
	index int
	twin  bool // the _file twin of the secret of that index
}

// fieldsOf are the keys of a struct type, in its order, twins included.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		fields = append(fields, field{key: key, index: i})
		if f.Type == reflect.TypeFor[Secret]() {
			fields = append(fields, field{key: key + fileTwin, index: i, twin: true})
		}
	}
	return fields
}

// unknownKey reports a key that the mapping at, of type t, has not.
func unknownKey(t reflect.Type, e entry, at *place) {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	wrong := at.put(e.key, e.line)
	if near := nearest(e.key, keys); near != "" {
		wrong.fail("unknown key; did you mean %q? (allowed: %s)", near, strings.Join(keys, ", "))
		if _, given := at.parts[near]; !given {
			at.at(near).bad = true // it is not missing but misspelled
		}
		return
	}
	if home := homeOf(e.key, at.key); home != "" {
		wrong.fail("unknown key; it belongs under %s (allowed: %s)", home, strings.Join(keys, ", "))
		return
	}
	wrong.fail("unknown key; allowed: %s", strings.Join(keys, ", "))
}

// homeOf finds where a key belongs that was indented wrongly: in the same
// top-level mapping as the place where it stands, or in any from the top.
func homeOf(key, stands string) string {
	within, _, _ := strings.Cut(stands, ".")
	root := reflect.TypeFor[Config]()
	for _, f := range fieldsOf(root) {
		if within == "" || within == f.key {
			if home := homeBelow(root.Field(f.index).Type, key, f.key); home != "" {
				return home
			}
		}
	}
	return ""
}

// homeBelow finds the mapping that has the key in t, which stands at path.
func homeBelow(t reflect.Type, key, path string) string {
	switch t.Kind() {
	case reflect.Pointer:
		return homeBelow(t.Elem(), key, path)
	case reflect.Map:
		return homeBelow(t.Elem(), key, joinKey(path, "NAME"))
	case reflect.Slice:
		return homeBelow(t.Elem(), key, path)
	case reflect.Struct:
		fields := fieldsOf(t)
		if slices.ContainsFunc(fields, func(f field) bool { return f.key == key }) {
			return path
		}
		for _, f := range fields {
			if home := homeBelow(t.Field(f.index).Type, key, joinKey(path, f.key)); home != "" {
				return home
			}
		}
	}
	return ""
}

// nearest is the allowed word that was probably meant, or "".
func nearest(word string, allowed []string) string {
	word = strings.ToLower(word)
	best, least := "", 3
	for _, candidate := range allowed {
		d := distance(word, candidate)
		if len(word) >= 3 && strings.HasPrefix(candidate, word) {
			d = min(d, 1)
		}
		if d < least && 3*d <= len(candidate) {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the letters to add, drop, replace or swap with their neighbour
// on the way from a to b (optimal string alignment). It stops looking where the
// lengths already tell that a and b are far apart.
func distance(a, b string) int {
	const far = 100
	if len(a) > len(b)+3 || len(b) > len(a)+3 {
		return far
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
