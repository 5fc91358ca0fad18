package web

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"sftpconnector/interapp"
)

// field is a setting as a form shows it.
type field struct {
	Key, Label, Doc string
	Value           string
	Lines           int      // of a list, and then it takes one item a line
	Allowed         []choice // the words that it may be; none: any text
	Secret          bool
	Set             bool // the file has it
	Typed           bool // a secret that was typed a moment ago, and is kept with the draft
	Number          bool
	Fixed           bool // it can be changed as text only
	Default         string
	ByAPI           string
	Line            int
	Wide            bool
	Unset           bool // it can be given up for its default
}

// ID is what ties the label and the explanation to the field.
func (f field) ID() string {
	return "f-" + strings.NewReplacer(".", "-", " ", "-", "_", "-").Replace(f.Key)
}

type choice struct{ Value, Text string }

// labels are the words of the product page for settings; the others are called by their key.
var labels = map[string]string{
	"sftp.host":                        "Host",
	"sftp.port":                        "Port",
	"sftp.username":                    "Username",
	"sftp.authentication":              "Authentication",
	"sftp.password":                    "Password",
	"sftp.key_pairs_path":              "Key Pairs Path",
	"sftp.key_pairs_passphrase":        "Key Pairs Passphrase",
	"sftp.host_key":                    "Host Key",
	"files.source_directory_path":      "Source Directory Path",
	"files.destination_directory_path": "Destination Directory Path",
	"files.system_username":            "System Username",
	"files.system_password":            "System Password",
	"automatic_sftp_file_sync":         "Automatic SFTP File Sync",
	"direction":                        "Direction",
}

// words are what users call the words of a setting.
var words = map[string]string{
	"credentials": "Credentials", "key-pairs": "Key Pairs", "both": "Both: Credentials and Key Pairs", "agent": "Agent",
}

// The keys of the two sections of the General page, in their order.
func sftpKeys() []string {
	return []string{"sftp.host", "sftp.port", "sftp.username", "sftp.authentication", "sftp.password", "sftp.key_pairs_path", "sftp.key_pairs_passphrase", "sftp.host_key"}
}

func fileKeys() []string {
	return []string{"files.source_directory_path", "files.destination_directory_path", "files.system_username", "files.system_password"}
}

// fieldOf makes the field of a setting. What the file has is shown as the file has it,
// with its ${NAME}.
func fieldOf(s interapp.Setting) field {
	f := field{Key: s.Key, Label: labels[s.Key], Doc: s.Doc, Value: shown(s), Secret: s.Secret, Set: s.Set, Fixed: !s.Editable,
		Default: s.Default, ByAPI: s.ByAPI, Line: s.Line, Number: s.Key == "sftp.port"}
	if f.Label == "" {
		f.Label = labelOf(s.Key)
	}
	if s.List {
		f.Lines = max(2, min(8, len(s.Values)+1))
	}
	for _, word := range s.Allowed {
		f.Allowed = append(f.Allowed, choice{word, cmpText(words[word], word)})
	}
	if len(f.Allowed) > 0 && !slices.Contains(s.Allowed, f.Value) {
		f.Allowed = append(f.Allowed, choice{f.Value, f.Value})
	}
	f.Unset = s.Set && s.Editable && s.Default != "" && !s.Secret
	f.Wide = strings.HasSuffix(s.Key, "_path") || s.List
	return f
}

// labelOf makes words of a key: "Name encoding" of files.name_encoding.
func labelOf(key string) string {
	text := strings.ReplaceAll(key[strings.LastIndex(key, ".")+1:], "_", " ")
	if text == "" {
		return key
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func cmpText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// shown is the value of a setting as a form shows it, and gets it back if nobody changes it.
func shown(s interapp.Setting) string {
	switch {
	case s.Secret:
		return ""
	case s.List:
		return strings.Join(s.Values, "\n")
	case s.Written != "":
		return s.Written
	}
	return s.Value
}

// section is fields under a heading.
type section struct {
	Title  string
	Fields []field
}

// sectionsOf groups settings by the first part of their key. Those of skip are left out.
func sectionsOf(settings []interapp.Setting, skip ...string) []section {
	var out []section
	at := map[string]int{}
	for _, s := range settings {
		if slices.Contains(skip, s.Key) {
			continue
		}
		group, _, deeper := strings.Cut(s.Key, ".")
		if !deeper {
			group = "general"
		}
		i, ok := at[group]
		if !ok {
			i = len(out)
			at[group] = i
			out = append(out, section{Title: groupTitle(group)})
		}
		out[i].Fields = append(out[i].Fields, fieldOf(s))
	}
	return out
}

func groupTitle(group string) string {
	switch group {
	case "sftp":
		return "SFTP Configuration"
	case "files":
		return "File Handling Overview"
	case "interapp":
		return "InterApp"
	case "general":
		return "General"
	}
	return group
}

// pick gives the fields of the keys that there are.
func pick(settings []interapp.Setting, keys []string) []field {
	var out []field
	for _, key := range keys {
		if i := slices.IndexFunc(settings, func(s interapp.Setting) bool { return s.Key == key }); i >= 0 {
			f := fieldOf(settings[i])
			f.Unset = false // which is for the Configuration page
			out = append(out, f)
		}
	}
	return out
}

// overlay puts what was typed over the fields.
func overlay(fields []field, typed map[string]*string) {
	for i := range fields {
		f := &fields[i]
		value, ok := typed[f.Key]
		switch {
		case !ok || value == nil:
		case f.Secret:
			f.Typed = true
		default:
			f.Value = *value
			if len(f.Allowed) > 0 && !slices.ContainsFunc(f.Allowed, func(c choice) bool { return c.Value == f.Value }) {
				f.Allowed = append(f.Allowed, choice{f.Value, f.Value})
			}
		}
	}
}

// changesOf gives what a form changes of the settings. Keys that the form does not have
// stay as they are; "unset" names those that get their default. earlier is what was typed
// before: its secrets count where the form's are empty.
func changesOf(settings []interapp.Setting, form url.Values, earlier map[string]*string) map[string]*string {
	out := map[string]*string{}
	for _, s := range settings {
		if slices.Contains(form["unset"], s.Key) {
			if s.Set {
				out[s.Key] = nil
			}
			continue
		}
		values, ok := form[s.Key]
		if !ok || !s.Editable {
			continue
		}
		value := typedText(values[0])
		if s.Secret {
			if value == "" && earlier[s.Key] != nil {
				value = *earlier[s.Key]
			}
			if value != "" {
				out[s.Key] = &value
			}
			continue
		}
		if s.List {
			value = items(value)
		}
		if value != shown(s) {
			out[s.Key] = &value
		}
	}
	return out
}

// typedText is text of a form with the line ends of this side.
func typedText(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// items are the lines of a list that say something.
func items(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// sameSet reports whether two sets of changes are the same.
func sameSet(a, b map[string]*string) bool {
	return maps.EqualFunc(a, b, func(x, y *string) bool {
		return x == nil && y == nil || x != nil && y != nil && *x == *y
	})
}
