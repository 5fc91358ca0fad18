package config

import (
	"fmt"
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

// unknownKey explains a key that the type t has not.
func unknownKey(t reflect.Type, key string) string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	where := meant(key, keys)
	if where == "" {
		if home := homeOf(reflect.TypeFor[Config](), key, ""); home != "" {
			where = "; it belongs under " + home
		}
	}
	if where == "" {
		return "unknown key; allowed: " + strings.Join(keys, ", ")
	}
	return fmt.Sprintf("unknown key%s (allowed: %s)", where, strings.Join(keys, ", "))
}

// homeOf finds the mapping below t that has the key, for one that was indented wrongly.
func homeOf(t reflect.Type, key, path string) string {
	switch t.Kind() {
	case reflect.Pointer:
		return homeOf(t.Elem(), key, path)
	case reflect.Map:
		return homeOf(t.Elem(), key, joinKey(path, "NAME"))
	case reflect.Slice:
		return homeOf(t.Elem(), key, path)
	case reflect.Struct:
		fields := fieldsOf(t)
		if path != "" && slices.ContainsFunc(fields, func(f field) bool { return f.key == key }) {
			return path
		}
		for _, f := range fields {
			if home := homeOf(t.Field(f.index).Type, key, joinKey(path, f.key)); home != "" {
				return home
			}
		}
	}
	return ""
}

// meant suggests the allowed word that was probably meant, as "; did you mean …?",
// or nothing when none is near.
func meant(word string, allowed []string) string {
	best, least := "", 3
	for _, candidate := range allowed {
		d := distance(strings.ToLower(word), candidate)
		if d < least && d < len(candidate)/2+1 {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
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
