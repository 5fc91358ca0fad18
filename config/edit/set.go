package edit

import (
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Set gives the document with a key set to a value. A key that is not there comes at
// the end of its mapping, with the mappings around it that are missing.
func (d *Document) Set(path []string, v Value) (*Document, error) {
	if len(path) == 0 {
		return nil, asText(path, "it has no key")
	}
	for _, text := range append(slices.Clone(v.List), append(slices.Clone(path), v.Text)...) {
		if !utf8.ValidString(text) {
			return nil, asText(path, "the value is not UTF-8 text")
		}
	}
	at, err := d.find(path)
	if err != nil {
		return nil, err
	}
	if at.found < len(path) {
		return d.add(at, path, v)
	}
	changes, err := d.replace(at, path, v)
	if err != nil {
		return nil, err
	}
	after, err := d.changed(d.spliced(changes...), path)
	if err != nil {
		return nil, err
	}
	return after, after.holds(path, v)
}

// holds checks that the value was set.
func (d *Document) holds(path []string, v Value) error {
	at, err := d.find(path)
	if err != nil {
		return err
	}
	wrong := asText(path, "the value would not be read as it was meant")
	if at.found < len(path) {
		return wrong
	}
	if !v.Many {
		if at.value.Kind != yaml.ScalarNode || at.value.Value != v.Text || isNull(at.value) {
			return wrong
		}
		return nil
	}
	var items []string
	for _, item := range at.value.Content {
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return wrong
		}
		items = append(items, item.Value)
	}
	if at.value.Kind != yaml.SequenceNode || !slices.Equal(items, v.List) {
		return wrong
	}
	return nil
}

// replace gives the changes that set a key that is there.
func (d *Document) replace(at spot, path []string, v Value) ([]splice, error) {
	flow := at.mapping.Style&yaml.FlowStyle != 0
	switch old := at.value; {
	case isNull(old) && old.Value == "":
		// Behind the colon: a comment may follow.
		start := d.offset(old)
		return []splice{{start, start, " " + v.written(0, flow)}}, nil
	case old.Kind == yaml.MappingNode:
		return nil, asText(path, "it is a mapping")
	case old.Kind == yaml.SequenceNode && old.Style&yaml.FlowStyle == 0:
		if v.Many && len(v.List) > 0 {
			return d.replaceItems(old, path, v)
		}
		return d.replaceLines(at, path, v)
	default:
		start, end, err := d.span(old, path)
		if err != nil {
			return nil, err
		}
		quoting := old.Style
		if old.Kind == yaml.SequenceNode || v.Many {
			quoting = itemStyle(old)
		}
		return []splice{{start, end, v.written(quoting, flow)}}, nil
	}
}

// itemStyle is the style of quoting that all items of a list have.
func itemStyle(list *yaml.Node) yaml.Style {
	var style yaml.Style
	for i, item := range list.Content {
		if i > 0 && item.Style != style {
			return 0
		}
		style = item.Style
	}
	return style
}

// replaceItems changes a list that has a line for each item: lines of items that
// stay are left alone, with their comments.
func (d *Document) replaceItems(list *yaml.Node, path []string, v Value) ([]splice, error) {
	old := list.Content
	same := func(item *yaml.Node, text string) bool { return item.Kind == yaml.ScalarNode && item.Value == text }
	head := 0
	for head < len(old) && head < len(v.List) && same(old[head], v.List[head]) {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(v.List)-head && same(old[len(old)-1-tail], v.List[len(v.List)-1-tail]) {
		tail++
	}
	gone, come := old[head:len(old)-tail], v.List[head:len(v.List)-tail]
	var changes []splice
	for i, item := range gone {
		start, end, err := d.span(item, path)
		if err != nil {
			return nil, err
		}
		if i < len(come) {
			changes = append(changes, splice{start, end, quoted(come[i], item.Style, false, v.Bare)})
		} else {
			changes = append(changes, splice{d.lines[item.Line-1], d.after(item.Line), ""})
		}
	}
	if len(come) <= len(gone) {
		return changes, nil
	}
	// More lines follow the last one that stays before them.
	line := list.Line - 1
	if k := head + len(gone); k > 0 {
		line = old[k-1].Line
	}
	var text strings.Builder
	for _, item := range come[len(gone):] {
		text.WriteString(strings.Repeat(" ", list.Column-1) + "- " + quoted(item, itemStyle(list), false, v.Bare) + d.end)
	}
	return append(changes, d.insertion(line, text.String())), nil
}

// replaceLines puts a value on the key's line, instead of a list of lines.
func (d *Document) replaceLines(at spot, path []string, v Value) ([]splice, error) {
	if at.value.Line == at.key.Line {
		return nil, asText(path, "it spans lines")
	}
	colon, err := d.colon(at.key, path)
	if err != nil {
		return nil, err
	}
	last := d.lastLine(at.key, at.value)
	return []splice{{colon, colon, " " + v.written(0, false)}, {d.lines[at.value.Line-1], d.after(last), ""}}, nil
}

// colon is the offset behind the colon of a key.
func (d *Document) colon(key *yaml.Node, path []string) (int, error) {
	_, end, err := d.span(key, path)
	if err != nil {
		return 0, err
	}
	rest := d.text[end:d.lineEnd(key.Line)]
	blanks := len(rest) - len(strings.TrimLeft(string(rest), " \t"))
	if blanks == len(rest) || rest[blanks] != ':' {
		return 0, asText(path, "its colon is not on its line")
	}
	return end + blanks + 1, nil
}

// insertion puts whole lines behind a line; 0: at the start.
func (d *Document) insertion(line int, text string) splice {
	if line == 0 {
		return splice{d.lines[0], d.lines[0], text}
	}
	at := d.after(line)
	if at > 0 && d.text[at-1] != '\n' && at > d.lines[0] {
		text = d.end + text // the last line has no end
	}
	return splice{at, at, text}
}

// lastLine is the last line of what belongs to a key: all that is indented more than it,
// and the items of a list as much. Comments belong to it where they are indented more.
func (d *Document) lastLine(key, value *yaml.Node) int {
	indent, last := key.Column-1, key.Line
	for number := key.Line + 1; number <= len(d.lines); number++ {
		line := d.line(number)
		text := strings.TrimLeft(line, " ")
		item := value.Kind == yaml.SequenceNode && (text == "-" || strings.HasPrefix(text, "- "))
		switch column := len(line) - len(text); {
		case strings.TrimSpace(text) == "":
		case column > indent, column == indent && item:
			last = number
		case !strings.HasPrefix(text, "#"):
			return last
		}
	}
	return last
}

// add puts the missing end of a path in.
func (d *Document) add(at spot, path []string, v Value) (*Document, error) {
	missing, changed := path[at.found:], path[:at.found+1]
	var change splice
	var err error
	switch {
	case at.value != nil: // null
		if at.value.Value != "" || at.mapping.Style&yaml.FlowStyle != 0 {
			return nil, asText(path[:at.found], "it is %s", "null")
		}
		indent := at.key.Column - 1 + d.step()
		change = d.insertion(d.lastLine(at.key, at.value), d.block(indent, missing, v))
	case at.mapping == nil:
		change = d.insertion(d.count(), d.block(0, missing, v))
	case at.found == 1 && path[0] == Connectors && len(at.mapping.Content) == 0 && at.mapping.Line == at.key.Line:
		return d.addFirst(at, path, v)
	case at.mapping.Style&yaml.FlowStyle != 0:
		change, err = d.addInBraces(at.mapping, missing, v, path)
	default:
		last := len(at.mapping.Content) - 2
		line := d.lastLine(at.mapping.Content[last], at.mapping.Content[last+1])
		change = d.insertion(line, d.block(at.mapping.Content[0].Column-1, missing, v))
	}
	if err != nil {
		return nil, err
	}
	after, err := d.changed(d.spliced(change), changed)
	if err != nil {
		return nil, err
	}
	return after, after.holds(path, v)
}

// addFirst puts the first connector in where braces with nothing in them stand.
func (d *Document) addFirst(at spot, path []string, v Value) (*Document, error) {
	start, end, err := d.span(at.mapping, path)
	if err != nil {
		return nil, err
	}
	behind := d.insertion(d.lastLine(at.key, at.mapping), d.block(at.key.Column-1+d.step(), path[1:], v))
	after, err := d.changed(d.spliced(splice{start, end, ""}, behind), path[:1])
	if err != nil {
		return nil, err
	}
	return after, after.holds(path, v)
}

// count is the number of lines, but for the empty one that a last line end would start.
func (d *Document) count() int {
	if last := len(d.lines); d.lines[last-1] == len(d.text) {
		return last - 1
	}
	return len(d.lines)
}

// addInBraces puts keys in at the end of a mapping in braces.
func (d *Document) addInBraces(mapping *yaml.Node, missing []string, v Value, path []string) (splice, error) {
	start, _, err := d.span(mapping, path)
	if err != nil {
		return splice{}, err
	}
	text := v.written(0, true)
	for i := len(missing) - 1; i >= 0; i-- {
		text = quoted(missing[i], 0, true, false) + ": " + text
		if i > 0 {
			text = "{" + text + "}"
		}
	}
	if len(mapping.Content) == 0 {
		return splice{start + 1, start + 1, text}, nil
	}
	_, end, err := d.span(mapping.Content[len(mapping.Content)-1], path)
	if err != nil {
		return splice{}, err
	}
	return splice{end, end, ", " + text}, nil
}

// block is a path with its value as lines.
func (d *Document) block(indent int, path []string, v Value) string {
	var out strings.Builder
	for i, key := range path {
		out.WriteString(strings.Repeat(" ", indent+i*d.step()) + quoted(key, 0, false, false) + ":")
		if i == len(path)-1 {
			out.WriteString(" " + v.written(0, false))
		}
		out.WriteString(d.end)
	}
	return out.String()
}

// step is how much the file indents what is in a mapping.
func (d *Document) step() int {
	if d.root != nil {
		for i := 0; i+1 < len(d.root.Content); i += 2 {
			key, value := d.root.Content[i], d.root.Content[i+1]
			if value.Kind == yaml.MappingNode && value.Style&yaml.FlowStyle == 0 && value.Column > key.Column {
				return value.Column - key.Column
			}
		}
	}
	return 2
}

// Remove gives the document without a key; ErrAbsent where there is none.
func (d *Document) Remove(path []string) (*Document, error) {
	at, err := d.find(path)
	if err != nil {
		return nil, err
	}
	if at.found < len(path) || len(path) == 0 {
		return nil, ErrAbsent
	}
	var change splice
	if at.mapping.Style&yaml.FlowStyle != 0 {
		change, err = d.removeInBraces(at, path)
	} else {
		change, err = d.removeLines(at, path)
	}
	if err != nil {
		return nil, err
	}
	after, err := d.changed(d.spliced(change), path)
	if err != nil {
		return nil, err
	}
	if gone, err := after.find(path); err != nil || gone.found == len(path) {
		return nil, asText(path, "it would still be there")
	}
	return after, nil
}

// removeLines takes away the lines of a key, and one of two empty lines around them.
func (d *Document) removeLines(at spot, path []string) (splice, error) {
	first := at.key.Line
	if strings.TrimLeft(string(d.text[d.lines[first-1]:d.offset(at.key)]), " ") != "" {
		return splice{}, asText(path, "something else is on its line")
	}
	last := d.lastLine(at.key, at.value)
	blank := func(number int) bool {
		return number < 1 || number > d.count() || strings.TrimSpace(d.line(number)) == ""
	}
	if blank(first-1) && blank(last+1) && last < d.count() {
		last++
	}
	return splice{d.lines[first-1], d.after(last), ""}, nil
}

// removeInBraces takes a key away with its comma.
func (d *Document) removeInBraces(at spot, path []string) (splice, error) {
	if _, _, err := d.span(at.mapping, path); err != nil {
		return splice{}, err
	}
	start := d.offset(at.key)
	_, end, err := d.span(at.value, path)
	if err != nil {
		return splice{}, err
	}
	content := at.mapping.Content
	i := slices.Index(content, at.key)
	switch {
	case i+2 < len(content):
		end = d.offset(content[i+2])
	case i > 0:
		if _, start, err = d.span(content[i-1], path); err != nil {
			return splice{}, err
		}
	}
	return splice{start, end, ""}, nil
}

// Editable reports whether Set can change the key, or add it, as far as that is seen
// without doing it.
func (d *Document) Editable(path []string, many bool) bool {
	at, err := d.find(path)
	if err != nil || at.found < len(path) {
		return err == nil
	}
	v := Value{Text: "x", Many: many}
	if many {
		v.List = []string{"x"}
	}
	_, err = d.replace(at, path, v)
	return err == nil
}
