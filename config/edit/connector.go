package edit

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Connectors is the key of all connectors.
const Connectors = "connectors"

// Has reports whether the file has a connector of that name.
func (d *Document) Has(name string) bool {
	at, err := d.find([]string{Connectors, name})
	return err == nil && at.found == 2
}

// Connector gives the text of one connector: what is below its name, indented as if it
// were a file of its own.
func (d *Document) Connector(name string) (string, error) {
	path := []string{Connectors, name}
	at, err := d.find(path)
	switch {
	case err != nil:
		return "", err
	case at.found < len(path):
		return "", ErrAbsent
	case isNull(at.value):
		return "", nil
	case at.value.Line == at.key.Line:
		start, end, err := d.span(at.value, path)
		return string(d.text[start:end]) + "\n", err
	}
	_, lines := d.body(at)
	var out strings.Builder
	for _, line := range lines {
		out.WriteString(dedented(line, at.value.Column-1) + "\n")
	}
	return out.String(), nil
}

// body gives the lines below a key, and the number of the first.
func (d *Document) body(at spot) (first int, lines []string) {
	first = at.key.Line + 1
	for number := first; number <= d.lastLine(at.key, at.value); number++ {
		lines = append(lines, d.line(number))
	}
	return first, lines
}

// dedented takes up to so many blanks from the start of a line.
func dedented(line string, indent int) string {
	return line[min(indent, len(line)-len(strings.TrimLeft(line, " "))):]
}

// SetConnector gives the document with the text of one connector, as Connector gives it,
// in the place of the old one, or at the end of all connectors. Lines that are as they
// were keep their bytes. Nothing but this connector changes.
func (d *Document) SetConnector(name, text string) (*Document, error) {
	path := []string{Connectors, name}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if strings.Contains(text, "\r") {
		return nil, asText(path, "the text has a line end that is none")
	}
	body, err := Parse([]byte(text))
	if err != nil && !strings.Contains(text, "*") { // an alias may lead out of it
		return nil, fmt.Errorf("%s: not valid YAML of keys and values: %w", dotted(path), err)
	}
	braces := body != nil && body.root != nil && body.root.Style&yaml.FlowStyle != 0
	at, err := d.find(path)
	if err != nil {
		return nil, err
	}
	if at.found < len(path) {
		if d, err = d.Set(path, Value{Text: "new"}); err != nil {
			return nil, err
		}
		if at, err = d.find(path); err != nil {
			return nil, err
		}
	}
	change, err := d.connectorChange(at, path, text, braces)
	if err != nil {
		return nil, err
	}
	after, err := d.changed(d.spliced(change), path)
	if err != nil {
		return nil, err
	}
	return after, after.sameBody(path, body)
}

// sameBody checks that a connector's text means in the file what it means alone.
func (d *Document) sameBody(path []string, body *Document) error {
	at, err := d.find(path)
	if err != nil || body == nil {
		return err
	}
	alone, there := factsOf(body.root), factsOf(at.value)
	if len(alone) == 0 && isNull(at.value) {
		return nil
	}
	if len(alone) != len(there) {
		return asText(path, "the text would not be read as it was meant")
	}
	for i := range alone {
		if alone[i] != there[i] {
			return asText(path, "the text would not be read as it was meant")
		}
	}
	return nil
}

// connectorChange puts a text below the key at the spot.
func (d *Document) connectorChange(at spot, path []string, text string, braces bool) (splice, error) {
	var lines []string
	if trimmed := strings.TrimRight(text, "\n"); trimmed != "" {
		lines = strings.Split(trimmed, "\n")
	}
	if at.mapping.Style&yaml.FlowStyle != 0 && !braces {
		return splice{}, asText(path, "the connectors stand in braces")
	}
	onItsLine := at.value.Line == at.key.Line && !isNull(at.value)
	if braces && len(lines) == 1 && (onItsLine || isNull(at.value)) {
		start, end, err := d.valueOnLine(at, path)
		return splice{start, end, " " + lines[0]}, err
	}
	if at.mapping.Style&yaml.FlowStyle != 0 {
		return splice{}, asText(path, "the connectors stand in braces")
	}
	indent := at.key.Column - 1 + d.step()
	first, old := d.body(at)
	if at.value.Line > at.key.Line {
		indent = at.value.Column - 1
	}
	start, end, head := d.after(at.key.Line), d.after(first+len(old)-1), ""
	if onItsLine { // what is behind the value, a comment, stays behind the key
		from, to, err := d.valueOnLine(at, path)
		if err != nil {
			return splice{}, err
		}
		start, head = from, string(d.text[to:d.lineEnd(at.key.Line)])+d.end
		old = nil
	} else if start > 0 && d.text[start-1] != '\n' {
		head = d.end
	}
	return splice{start, end, head + d.rejoined(old, first, lines, indent)}, nil
}

// valueOnLine is from behind the colon of a key to the end of its value.
func (d *Document) valueOnLine(at spot, path []string) (start, end int, err error) {
	if start, err = d.colon(at.key, path); err != nil {
		return 0, 0, err
	}
	if isNull(at.value) && at.value.Value == "" {
		return start, start, nil
	}
	_, end, err = d.span(at.value, path)
	return start, end, err
}

// rejoined indents lines; those that are old ones keep their bytes.
func (d *Document) rejoined(old []string, first int, lines []string, indent int) string {
	plain := make([]string, len(old))
	for i, line := range old {
		plain[i] = dedented(line, indent)
	}
	var out strings.Builder
	for _, step := range compare(plain, lines) {
		switch {
		case step.op == gone:
		case step.op == kept:
			number := first + step.before
			out.WriteString(string(d.text[d.lines[number-1]:d.lineEnd(number)]) + d.end)
		case strings.TrimSpace(lines[step.after]) == "":
			out.WriteString(d.end)
		default:
			out.WriteString(strings.Repeat(" ", indent) + lines[step.after] + d.end)
		}
	}
	return out.String()
}

// RemoveConnector gives the document without a connector and the comment that stands
// directly above it; ErrAbsent where there is none. A comment above the first one may be
// about all of them, and stays.
func (d *Document) RemoveConnector(name string) (*Document, error) {
	path := []string{Connectors, name}
	at, err := d.find(path)
	if err != nil {
		return nil, err
	}
	if at.found == len(path) && at.mapping.Style&yaml.FlowStyle == 0 && at.mapping.Content[0] != at.key {
		comment := at.key.Line
		for comment > 1 && strings.HasPrefix(d.line(comment-1), strings.Repeat(" ", at.key.Column-1)+"#") {
			comment--
		}
		if comment < at.key.Line {
			bare, err := d.changed(d.spliced(splice{d.lines[comment-1], d.lines[at.key.Line-1], ""}), path)
			if err != nil {
				return nil, err
			}
			return bare.Remove(path)
		}
	}
	return d.Remove(path)
}
