package config

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME} by the variable of that name and $$ by a dollar. It
// works on a decoded value, so that what a variable holds is never read as YAML.
// Its errors name variables and repeat nothing else of the text: it may be a secret.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		if rest, dollar := strings.CutPrefix(after, "$"); dollar {
			out.WriteByte('$')
			text = rest
			continue
		}
		inner, braced := strings.CutPrefix(after, "{")
		if !braced {
			return "", errors.New("has a lone $; write $$ for a dollar, ${NAME} for an environment variable")
		}
		name, rest, closed := strings.Cut(inner, "}")
		if !closed || !variableName(name) {
			return "", errors.New("has a malformed ${; write ${NAME} with letters, digits and _ in the name, or $${ for a dollar and a brace")
		}
		value, ok := env(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		out.WriteString(value)
		text = rest
	}
}

func variableName(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
