package edit

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// span gives the bytes of a value that stands on one line: a scalar, or a
// collection in brackets.
func (d *Document) span(n *yaml.Node, path []string) (start, end int, err error) {
	if err := shared(n, path); err != nil {
		return 0, 0, err
	}
	start = d.offset(n)
	rest := d.all[start:d.lineEnd(n.Line)]
	length := -1
	switch {
	case n.Kind != yaml.ScalarNode && n.Style&yaml.FlowStyle != 0:
		length = bracketed(rest)
	case n.Kind != yaml.ScalarNode:
		return 0, 0, asText(path, "it spans lines")
	case n.Style&yaml.DoubleQuotedStyle != 0:
		length = doubleQuoted(rest)
	case n.Style&yaml.SingleQuotedStyle != 0:
		length = singleQuoted(rest)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
	case strings.HasPrefix(rest, n.Value): // plain: it stands as it is, unless it spans lines
		length = len(n.Value)
	}
	if length < 0 {
		return 0, 0, asText(path, "it spans lines")
	}
	return start, start + length, nil
}

// doubleQuoted is the length of the text in double quotes at the start of s; -1: it
// does not end there.
func doubleQuoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// singleQuoted is doubleQuoted for single quotes, where two stand for one.
func singleQuoted(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// bracketed is doubleQuoted for a collection in brackets.
func bracketed(s string) int {
	depth := 0
	fresh := true // a value may start here: a quote within a plain one is none
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case fresh && (c == '"' || c == '\''):
			length := doubleQuoted(s[i:])
			if c == '\'' {
				length = singleQuoted(s[i:])
			}
			if length < 0 {
				return -1
			}
			i += length - 1
			fresh = false
		case c == '[' || c == '{':
			depth++
			fresh = true
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
			fresh = false
		case c == ',' || c == ':':
			fresh = true
		case c == '#' && (s[i-1] == ' ' || s[i-1] == '\t'):
			return -1
		case c != ' ' && c != '\t':
			fresh = false
		}
	}
	return -1
}

// Value is what a key is set to: one text, or a list of them.
type Value struct {
	Text string
	List []string
	// Many says that it is the list, which may be empty.
	Many bool
	// Bare says that a text that looks like a number or a truth value is meant as one.
	Bare bool
}

// Escape gives a text in which no $ means a variable.
func Escape(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// written is a value on one line. quoting is the style of what it takes the place of.
func (v Value) written(quoting yaml.Style, flow bool) string {
	if !v.Many {
		return quoted(v.Text, quoting, flow, v.Bare)
	}
	items := make([]string, len(v.List))
	for i, item := range v.List {
		items[i] = quoted(item, quoting, true, v.Bare)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// quoted writes a text as a scalar that reads back as it is: in the quotes of the
// style, or without any where that is certain.
func quoted(text string, style yaml.Style, flow, bare bool) string {
	switch {
	case style&yaml.SingleQuotedStyle != 0 && printable(text):
		return singled(text)
	case style&yaml.DoubleQuotedStyle != 0:
		return doubled(text)
	case plain(text, flow, bare):
		return text
	case strings.ContainsAny(text, `\"`) && printable(text):
		return singled(text) // where nothing but ' is special
	}
	return doubled(text)
}

func singled(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// printable reports whether quotes alone keep a text: it is on one line, and all of it
// can be seen.
func printable(text string) bool {
	for _, r := range text {
		if r != ' ' && !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// sexagesimal is what readers of an older YAML take for a number.
var sexagesimal = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)

// plain reports whether a text without quotes is read as that text, also by other
// readers of YAML.
func plain(text string, flow, bare bool) bool {
	if text == "" || !printable(text) || strings.TrimSpace(text) != text {
		return false
	}
	if strings.ContainsRune("-?:,[]{}#&*!|>'\"%@`=~<", rune(text[0])) || strings.Contains(text, ": ") || strings.Contains(text, " #") || strings.HasSuffix(text, ":") {
		return false
	}
	if flow && strings.ContainsAny(text, ",[]{}:?\"'") {
		return false
	}
	if bare {
		return readsAs(text, "", flow)
	}
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	return !sexagesimal.MatchString(text) && readsAs(text, "!!str", flow)
}

// readsAs reports whether YAML reads a text as one scalar with that value, and the
// tag, if one is given; in brackets, for flow.
func readsAs(text, tag string, flow bool) bool {
	line := "- " + text + "\n"
	if flow {
		line = "[" + text + "]\n"
	}
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(line), &n); err != nil || len(n.Content) != 1 || len(n.Content[0].Content) != 1 {
		return false
	}
	v := n.Content[0].Content[0]
	return v.Kind == yaml.ScalarNode && v.Value == text && v.Anchor == "" && (tag == "" && v.ShortTag() != "!!null" || v.ShortTag() == tag)
}

// doubled writes a text in double quotes.
func doubled(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r) && r != '\ufeff':
			out.WriteRune(r)
		default:
			out.WriteString(escaped(r))
		}
	}
	out.WriteByte('"')
	return out.String()
}

func escaped(r rune) string {
	const digits = "0123456789ABCDEF"
	width, letter := 4, byte('u')
	switch {
	case r <= 0xff:
		width, letter = 2, 'x'
	case r > 0xffff:
		width, letter = 8, 'U'
	}
	out := []byte{'\\', letter}
	for i := width - 1; i >= 0; i-- {
		out = append(out, digits[(r>>(4*i))&0xf])
	}
	return string(out)
}
