package dataminer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sftpconnector/interapp"
)

// maxMessages bounds the messages of a call.
const maxMessages = 100

// Names are the names of the DataMiner classes and their properties. Both
// spellings of a class are read, with its namespace and without; properties are
// read in any case. A name is written as it stands here.
type Names struct {
	RequestClass string
	ReplyClass   string
	Properties
}

// Properties are the names of the properties of a request and of a reply. Its
// fields are those of the configuration, so that it can be converted from them.
type Properties struct {
	FileNameFilter           string // of a request, as all up to Timeout
	FileTimeFrom             string
	FileTimeTo               string
	Timeout                  string
	Success                  string // of a reply, as all that follow
	Description              string
	FileNames                string
	DestinationDirectoryPath string
}

// Call is what an element or a script of DataMiner sent: an InterApp call, or a
// message without a call around it.
type Call struct {
	Messages []Message // 1 to 100, in their order

	names Names
	root  *value // nil for a message without a call around it
}

// Message is one message of a Call.
type Message struct {
	// Request is what the message asks for. Its ID is the guid, its Source the
	// element that asks. Times are known to be times; nothing else is checked.
	Request interapp.Request
	// Err says why there is no Request but its ID, in words for who wrote the
	// message.
	Err error

	guid *value
}

// Parse reads a call. The error is a sentence for the sender: the data are not
// an InterApp call, or a message has no guid, without which no reply finds its
// way. Any other mistake concerns one message alone, and is its Err.
func Parse(data []byte, names Names) (*Call, error) {
	root, ids, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("InterApp call: %w", err)
	}
	if _, ok := root.str(); ok {
		return nil, errors.New("InterApp call: text; send the string that SerializeToString gives as it is, not serialized once more")
	}
	if !root.object() {
		return nil, fmt.Errorf("InterApp call: %s; allowed: an object, of InterAppCall or of a message", root.kind())
	}
	p := parser{names: names, ids: ids, root: root}
	if root.get("messages") == nil {
		m, err := p.message(root)
		if err != nil {
			return nil, fmt.Errorf("InterApp message: %w", err)
		}
		return &Call{Messages: []Message{m}, names: names}, nil
	}
	messages, err := p.messages()
	if err != nil {
		return nil, fmt.Errorf("InterApp call: %w", err)
	}
	return &Call{Messages: messages, names: names, root: root}, nil
}

// parser turns values into messages.
type parser struct {
	names Names
	ids   map[string]*value
	root  *value
}

// member gives a property, or what it refers to.
func (p *parser) member(v *value, name string) *value { return p.resolve(v.get(name)) }

// resolve follows a $ref, once: what stands at its end is no reference.
func (p *parser) resolve(v *value) *value {
	if id, ok := v.get("$ref").str(); ok && p.ids[id] != nil {
		return p.ids[id]
	}
	return v
}

// messages reads those of the call.
func (p *parser) messages() ([]Message, error) {
	list := p.member(p.root, "messages")
	if list.object() {
		list = list.get("$values")
	}
	switch {
	case !list.list():
		return nil, fmt.Errorf("messages: %s; allowed: a list, as it is or in $values", list.kind())
	case len(list.items) == 0:
		return nil, errors.New("messages: an empty list; allowed: at least one message")
	case len(list.items) > maxMessages:
		return nil, fmt.Errorf("messages: %d of them; allowed: %d in a call", len(list.items), maxMessages)
	}
	messages := make([]Message, len(list.items))
	for i, item := range list.items {
		var err error
		if messages[i], err = p.message(p.resolve(item)); err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
	}
	return messages, nil
}

// message reads one message. An error is about its guid.
func (p *parser) message(v *value) (Message, error) {
	if !v.object() {
		return Message{}, fmt.Errorf("%s; allowed: an object", v.kind())
	}
	m := Message{guid: v.get("guid")}
	id, ok := m.guid.str()
	switch {
	case !ok:
		return Message{}, fmt.Errorf("guid: %s; allowed: text, which the reply repeats", m.guid.kind())
	case id == "":
		return Message{}, errors.New("guid: empty; allowed: text, which the reply repeats")
	}
	if m.Err = p.class(v); m.Err == nil {
		m.Request, m.Err = p.request(v)
	}
	m.Request.ID = id
	return m, nil
}

// class checks that the message is a request.
func (p *parser) class(v *value) error {
	of := v.get("$type")
	typ, ok := of.str()
	if !ok {
		return fmt.Errorf("$type: %s; allowed: the class %s", of.kind(), p.names.RequestClass)
	}
	if class := className(typ); !sameClass(class, p.names.RequestClass) {
		return fmt.Errorf("$type: %s is not the class of requests; allowed: %s, as interapp.request_class of the connector has it", quote(class), p.names.RequestClass)
	}
	return nil
}

// request reads what a message asks for.
func (p *parser) request(v *value) (interapp.Request, error) {
	var times interapp.FileTimeFilter
	request := interapp.Request{Source: p.source(v)}
	for _, property := range []struct {
		name string
		to   *string
		read func(string) (string, error)
	}{
		{p.names.FileNameFilter, &request.FileNameFilter, asItIs},
		{p.names.FileTimeFrom, &times.From, timeText},
		{p.names.FileTimeTo, &times.To, timeText},
		{p.names.Timeout, &request.Timeout, asItIs},
	} {
		of := p.member(v, property.name)
		if of.null() {
			continue
		}
		text, ok := of.str()
		if !ok {
			return interapp.Request{}, fmt.Errorf("%s: %s; allowed: text or null", property.name, of.kind())
		}
		read, err := property.read(text)
		if err != nil {
			return interapp.Request{}, fmt.Errorf("%s: %w", property.name, err)
		}
		*property.to = read
	}
	if times != (interapp.FileTimeFilter{}) {
		request.FileTimeFilter = &times
	}
	return request, nil
}

func asItIs(text string) (string, error) { return text, nil }

// timeText checks the text of a .NET DateTime. The default one, of the year 1,
// is no time.
func timeText(text string) (string, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			if t.Year() == 1 {
				text = ""
			}
			return text, nil
		}
	}
	if text == "" {
		return "", nil
	}
	return "", fmt.Errorf("%s is not a time; allowed: 2024-05-29T15:22:47.8139151+02:00, the same without a zone for the connector's own, or null", quote(text))
}

// source says who asks: as the message says, or its call, or else the element
// that the reply goes to. It is for people, so that nothing in it is a mistake.
func (p *parser) source(message *value) string {
	for _, of := range []*value{message, p.root} {
		source := p.member(of, "source")
		if name, ok := source.str(); ok && name != "" {
			return name
		}
		name, _ := source.get("name").str()
		if who := strings.TrimSpace(name + " " + element(source)); who != "" {
			return who
		}
	}
	for _, of := range []*value{message, p.root} {
		if who := element(p.member(of, "returnAddress")); who != "" {
			return who
		}
	}
	return ""
}

// element names the element of a Source or of a ReturnAddress, if it has one.
func element(v *value) string {
	var ids [2]int64
	for i, name := range []string{"agentId", "elementId"} {
		if of := v.get(name); of != nil {
			number, _ := of.token.(json.Number)
			ids[i], _ = number.Int64()
		}
	}
	if ids[0] <= 0 || ids[1] <= 0 {
		return ""
	}
	return fmt.Sprintf("element %d/%d", ids[0], ids[1])
}

// className is the class of a $type: what stands before the first comma that is
// not within the brackets of a generic class.
func className(typ string) string {
	depth := 0
	for i, r := range typ {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				return strings.TrimSpace(typ[:i])
			}
		}
	}
	return strings.TrimSpace(typ)
}

// sameClass reports whether both are the same name, or one is the other without
// its namespace.
func sameClass(a, b string) bool {
	return a == b || a == shortName(b) || b == shortName(a)
}

// shortName is the name of a class without its namespace and the classes around it.
func shortName(class string) string {
	name, _, _ := strings.Cut(class, "[")
	return class[strings.LastIndexAny(name, ".+")+1:]
}

// shown is how many characters of a text an error repeats.
const shown = 100

func quote(text string) string {
	if runes := []rune(text); len(runes) > shown {
		text = string(runes[:shown]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
