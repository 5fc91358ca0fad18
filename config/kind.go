package config

import (
	"reflect"
	"strings"
)

// Kind is what a key takes.
type Kind struct {
	Secret bool // a text that is never shown
	List   bool
	Bare   bool // a number, a truth value or the like, which needs no quotes
	Twin   bool // the name of a file that holds a secret
}

// KindOf gives the kind of a key by its path from the top, such as connectors, results,
// sftp, port. An item of a list is [0], [1] and so on. known is false for a key that
// there is not.
func KindOf(path ...string) (k Kind, known bool) {
	t, twin := reflect.TypeFor[Config](), false
	for _, key := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case twin:
			return Kind{}, false
		case t.Kind() == reflect.Map:
			t = t.Elem()
			twin = t == reflect.TypeFor[Secret]() && strings.HasSuffix(key, fileTwin)
		case t.Kind() == reflect.Slice && strings.HasPrefix(key, "["):
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			f, ok := fieldOf(t, key)
			if !ok {
				return Kind{}, false
			}
			t, twin = t.Field(f.index).Type, f.twin
		default:
			return Kind{}, false
		}
	}
	if twin {
		return Kind{Twin: true}, true
	}
	return Kind{
		Secret: t == reflect.TypeFor[Secret](),
		List:   t.Kind() == reflect.Slice,
		Bare:   t.Kind() != reflect.String,
	}, true
}

func fieldOf(t reflect.Type, key string) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

// PathOf splits a dotted key of a connector, such as sftp.port. What is behind a mapping
// with keys of the user's choice is one key, dots and all.
func PathOf(key string) []string {
	t := reflect.TypeFor[Connector]()
	var path []string
	for {
		if t.Kind() != reflect.Struct {
			return append(path, key)
		}
		first, rest, more := strings.Cut(key, ".")
		if !more {
			return append(path, key)
		}
		f, ok := fieldOf(t, first)
		if !ok {
			return append(path, strings.Split(key, ".")...)
		}
		path, key, t = append(path, first), rest, t.Field(f.index).Type
	}
}
