package dataminer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sftpconnector/interapp"
)

// typeEnd is what DataMiner writes behind the class in a $type, where others
// name the assembly.
const typeEnd = ", "

// The $type of a list of names, and the DateTime that stands for none.
const (
	listOfText = "System.Collections.Generic.List`1[System.String]" + typeEnd
	noTime     = "0001-01-01T00:00:00"
)

// Answer writes the replies, one for each of the Messages in their order, as one
// line of JSON without an end. The reply of a message that has an Err is made
// from that, whatever stands in its place.
//
// The answer to one message is a message, with a call around it or not. The
// answer to several is an InterApp call with the guid of theirs.
func (c *Call) Answer(replies []interapp.Reply) []byte {
	if len(c.Messages) == 1 {
		return c.reply(1, c.Messages[0], replies[0]).append(nil)
	}
	list := &value{token: json.Delim('[')}
	for i, m := range c.Messages {
		list.items = append(list.items, c.reply(i+2, m, replies[i]))
	}
	// Each library reads the envelope that it writes.
	messages := c.root.get("messages")
	if messages.object() {
		list = object(member{name: "$type", value: textOf(messages, "$type")}, member{name: "$values", value: list})
	}
	return numbered(1, textOf(c.root, "$type"), map[string]*value{
		"expectsReply":  boolean(false),
		"guid":          textOf(c.root, "guid"),
		"messages":      list,
		"receivingTime": text(noTime),
		"returnAddress": null(),
		"sendingTime":   text(noTime),
		"source":        null(),
	}).append(nil)
}

// reply makes the reply to a message. What every message has, and its sender
// sets, is as the library leaves it.
func (c *Call) reply(id int, m Message, r interapp.Reply) *value {
	if m.Err != nil {
		r = interapp.Reply{Description: m.Err.Error()}
	}
	names := &value{token: json.Delim('[')}
	for _, name := range r.FileNames {
		names.items = append(names.items, text(name))
	}
	return numbered(id, text(c.names.ReplyClass+typeEnd), map[string]*value{
		c.names.Success:                  boolean(r.Success),
		c.names.Description:              text(r.Description),
		c.names.FileNames:                object(member{name: "$type", value: text(listOfText)}, member{name: "$values", value: names}),
		c.names.DestinationDirectoryPath: text(r.Destination),
		"brokerReturnAddress":            null(),
		"expectsReply":                   boolean(false),
		"guid":                           m.guid,
		"returnAddress":                  null(),
		"source":                         null(),
	})
}

// numbered makes an object with an $id, a $type if there is one, and the
// properties sorted by their names as .NET sorts them. A property without a
// value is null.
func numbered(id int, typ *value, properties map[string]*value) *value {
	members := []member{{name: "$id", value: text(strconv.Itoa(id))}, {name: "$type", value: typ}}
	names := slices.SortedFunc(maps.Keys(properties), func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	})
	for _, name := range names {
		of := properties[name]
		if of == nil {
			of = null()
		}
		members = append(members, member{name: name, value: of})
	}
	return object(members...)
}

// object makes an object of the members that have a value.
func object(members ...member) *value {
	v := &value{token: json.Delim('{')}
	for _, m := range members {
		if m.value != nil {
			m.text = quoted(m.name)
			v.members = append(v.members, m)
		}
	}
	return v
}

// textOf gives a property that is text, or nil.
func textOf(v *value, name string) *value {
	of := v.get(name)
	if _, ok := of.str(); !ok {
		return nil
	}
	return of
}

func text(s string) *value  { return &value{token: s, text: quoted(s)} }
func boolean(b bool) *value { return &value{token: b, text: strconv.FormatBool(b)} }
func null() *value          { return &value{text: "null"} }

// quoted is a string in JSON. As in .NET, <, > and & stand for themselves.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded, and a Buffer takes it
	return strings.TrimSuffix(b.String(), "\n")
}
