package edit

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"sftpconnector/config"
)

// Redacted is what a secret is shown as.
const Redacted = "[redacted]"

// variable is a value that is nothing but the name of a variable.
var variable = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// commented is a secret in a line that was made a comment.
var commented = regexp.MustCompile(`(#.*?[\w-]*(?:password|passphrase|secret|token|key|answers)\w*["']?\s*:\s*)([^\s#].*)$`)

// Masked gives the text with each secret that is written out replaced by [redacted].
// Variables and the names of files stay.
func (d *Document) Masked() (string, error) {
	m, err := d.masked()
	if err != nil {
		return "", err
	}
	return m.text, nil
}

// masked is a document without secrets.
type masked struct {
	text  string
	lines []maskedLine
}

// maskedLine is a line, with where it stood before secrets of several lines were
// hidden, and what is hidden in it.
type maskedLine struct {
	number int
	text   string
	hidden string
}

// keys tell lines apart whose secrets differ.
func (m *masked) keys() []string {
	keys := make([]string, len(m.lines))
	for i, line := range m.lines {
		keys[i] = line.text + "\x00" + line.hidden
	}
	return keys
}

// secretAt is a scalar whose value must not be shown.
type secretAt struct {
	path []string
	key  *yaml.Node // that it is the value of, or below
	node *yaml.Node
}

// secrets lists the scalars that are secrets, or may be: those of keys that nobody knows.
func (d *Document) secrets() []secretAt {
	var found []secretAt
	visited := map[*yaml.Node]bool{}
	var walk func(n, key *yaml.Node, path []string, secret bool)
	walk = func(n, key *yaml.Node, path []string, secret bool) {
		if n == nil {
			return
		}
		if kind, known := config.KindOf(path...); !known || kind.Secret {
			secret = true
		}
		switch n.Kind {
		case yaml.AliasNode:
			if secret && !visited[n.Alias] { // what is written elsewhere is a secret, too
				visited[n.Alias] = true
				walk(n.Alias, key, path, true)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				name := n.Content[i].Value
				if n.Content[i].ShortTag() == "!!merge" {
					continue // what it merges is walked where it stands
				}
				walk(n.Content[i+1], n.Content[i], append(slices.Clone(path), name), secret)
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(item, key, append(slices.Clone(path), "["+strconv.Itoa(i)+"]"), secret)
			}
		case yaml.ScalarNode:
			if secret && !isNull(n) && n.Value != "" && !variable.MatchString(n.Value) {
				found = append(found, secretAt{path, key, n})
			}
		}
	}
	walk(d.root, nil, nil, false)
	return found
}

func (d *Document) masked() (*masked, error) {
	var changes []splice
	hidden := map[int]string{}  // by line of d
	dropped := map[int]bool{}   // lines of d that a secret of several lines took
	masking := map[int]string{} // by offset, as an alias may lead to one twice
	for _, s := range d.secrets() {
		start, end, err := d.extent(s)
		if err != nil {
			return nil, err
		}
		if _, twice := masking[start]; twice {
			continue
		}
		masking[start] = s.node.Value
		changes = append(changes, splice{start, end, strconv.Quote(Redacted)})
		hidden[s.node.Line] += s.node.Value + "\x00"
		for number := s.node.Line + 1; number <= len(d.lines) && d.lines[number-1] < end; number++ {
			dropped[number] = true
		}
	}
	text := d.spliced(changes...)
	after, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if err := d.hides(after); err != nil {
		return nil, err
	}
	m := &masked{}
	number := 0
	var out strings.Builder
	for i := range after.lines {
		for number++; dropped[number]; number++ {
		}
		line := string(text[after.lines[i]:after.after(i+1)])
		ended := strings.TrimRight(line, "\r\n")
		shown := withoutComment(ended)
		m.lines = append(m.lines, maskedLine{number, shown, hidden[number]})
		out.WriteString(shown + line[len(ended):])
	}
	m.text = string(text[:after.lines[0]]) + out.String() // comments alone differ
	return m, nil
}

// withoutComment hides what may be a secret in a comment.
func withoutComment(line string) string {
	if !strings.Contains(line, "#") {
		return line
	}
	return commented.ReplaceAllStringFunc(line, maskComment)
}

func maskComment(text string) string {
	parts := commented.FindStringSubmatch(text)
	value := strings.Trim(parts[2], `"' `)
	if strings.HasPrefix(value, "${") || value == Redacted {
		return text
	}
	return parts[1] + Redacted
}

// hides checks that a masked text says the same but for secrets, and has none.
func (d *Document) hides(after *Document) error {
	for _, s := range after.secrets() {
		if s.node.Value != Redacted {
			return asText(s.path, "the secret cannot be hidden")
		}
	}
	a, b := factsOf(d.root), factsOf(after.root)
	if len(a) != len(b) {
		return &AsText{Key: "the file", Why: "its secrets cannot be hidden"}
	}
	for i := range a {
		if a[i] != b[i] && (a[i].path != b[i].path || a[i].key || b[i].value != Redacted) {
			return &AsText{Key: "the file", Why: "its secrets cannot be hidden"}
		}
	}
	return nil
}

// extent gives the bytes of a scalar, its anchor left out, also when it spans lines.
func (d *Document) extent(s secretAt) (start, end int, err error) {
	bare := *s.node
	start = d.offset(s.node)
	for { // anchor and tag stand before the value
		rest := d.all[start:]
		if bare.Anchor != "" && strings.HasPrefix(rest, "&") || bare.Style&yaml.TaggedStyle != 0 && strings.HasPrefix(rest, "!") {
			_, after, _ := strings.Cut(rest, " ")
			start = len(d.text) - len(strings.TrimLeft(after, " "))
			continue
		}
		break
	}
	rest := d.all[start:]
	length := -1
	switch style := bare.Style; {
	case style&yaml.DoubleQuotedStyle != 0 && strings.HasPrefix(rest, `"`):
		length = doubleQuoted(rest)
	case style&yaml.SingleQuotedStyle != 0 && strings.HasPrefix(rest, "'"):
		length = singleQuoted(rest)
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 && s.key != nil:
		length = d.lineEnd(d.lastLine(s.key, &bare)) - start
	case strings.HasPrefix(rest, bare.Value):
		length = len(bare.Value)
	case s.key != nil:
		length = d.lineEnd(d.lastLine(s.key, &bare)) - start
	}
	if length < 0 {
		return 0, 0, asText(s.path, "the secret cannot be hidden")
	}
	return start, start + length, nil
}

// MissingSecret says that a text has [redacted] where there is no secret to keep.
type MissingSecret struct{ Key string }

// Error says what to do.
func (e *MissingSecret) Error() string {
	return fmt.Sprintf("%s: there is no secret to keep in the place of %s: enter it", e.Key, Redacted)
}

// Unmasked gives d, whose connector was changed as text, with the secrets of before in
// the places where it has [redacted]: each in its own.
func (d *Document) Unmasked(before *Document, name string) (*Document, error) {
	at, err := d.find([]string{Connectors, name})
	if err != nil || at.found < 2 {
		return d, err
	}
	var changes []splice
	for _, s := range d.secrets() {
		if len(s.path) < 3 || s.path[0] != Connectors || s.path[1] != name || !strings.Contains(s.node.Value, Redacted) {
			continue
		}
		old, err := before.find(s.path)
		if err != nil || old.found < len(s.path) || s.node.Value != Redacted ||
			old.value.Kind != yaml.ScalarNode || isNull(old.value) || old.value.Value == "" {
			return nil, &MissingSecret{dotted(s.path)}
		}
		start, end, err := d.extent(s)
		if err != nil {
			return nil, err
		}
		text := quoted(old.value.Value, old.value.Style, true, true)
		if from, to, err := before.span(old.value, s.path); err == nil {
			text = string(before.text[from:to])
		}
		changes = append(changes, splice{start, end, text})
	}
	if len(changes) == 0 {
		return d, nil
	}
	return d.changed(d.spliced(changes...), []string{Connectors, name})
}

// Uncommented gives the text of a connector with what was hidden in its comments, where
// the lines are those of before.
func (d *Document) Uncommented(name, text string) string {
	old, err := d.Connector(name)
	if err != nil {
		return text
	}
	was := map[string]string{}
	for line := range strings.SplitSeq(old, "\n") {
		if shown := withoutComment(line); shown != line {
			was[shown] = line
		}
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		if original, ok := was[line]; ok {
			lines[i] = original
		}
	}
	return strings.Join(lines, "\n")
}
