package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parseYAML gives the one document of text, or nil and a mistake in found. Of a text
// with nothing in it, it is an empty mapping.
func parseYAML(text []byte, found *report) *yaml.Node {
	if line, problem := checkEncoding(text); problem != "" {
		found.add(line, "", problem)
		return nil
	}
	documents, err := readDocuments(text)
	switch {
	case err != nil:
		line, problem := explainSyntax(text, err)
		found.add(line, "", problem)
	case len(documents) == 0 || isNull(documents[0].Content[0]):
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}
	case len(documents) > 1:
		found.add(documents[1].Line, "", "a second YAML document starts here; allowed: one in a file")
	default:
		return documents[0].Content[0]
	}
	return nil
}

// checkEncoding refuses what is not UTF-8, which YAML readers explain badly.
func checkEncoding(text []byte) (line int, problem string) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return 1, "the file is UTF-16; save it as UTF-8"
	}
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 {
			before := text[:len(text)-len(rest)]
			return 1 + bytes.Count(before, []byte("\n")), "not UTF-8 text; save the file as UTF-8"
		}
		rest = rest[size:]
	}
	return 0, ""
}

// readDocuments gives the first two documents of text.
func readDocuments(text []byte) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for len(documents) < 2 {
		document := new(yaml.Node)
		err := decoder.Decode(document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// maxSearched bounds how many bytes explainSyntax reads again: under half a second.
const maxSearched = 16 << 20

// explainSyntax gives the line and the text of a YAML error. yaml.v3 often names
// the line where a block began, or none; the first line without which the text
// before it can be read is nearer to the mistake.
func explainSyntax(text []byte, err error) (line int, problem string) {
	problem = strings.TrimPrefix(err.Error(), "yaml: ")
	line = 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(problem); m != nil {
		problem = strings.TrimPrefix(problem, m[0])
		if named, err := strconv.Atoi(m[1]); err == nil {
			line = named
		}
	}
	// Where the text ends is not where its quote was opened.
	before, ok := readableLines(text)
	if ok && (before >= line || strings.HasPrefix(problem, "found unexpected end of stream")) {
		line = before + 1
	}
	return line, "not valid YAML: " + advise(problem)
}

// advise adds to a message of yaml.v3 what is most often behind it.
func advise(problem string) string {
	switch {
	case strings.HasPrefix(problem, "unknown anchor"):
		// Its name may be a password that starts with '*': it is not repeated.
		return "an alias without its anchor; put quotes around a value that starts with *"
	case strings.HasPrefix(problem, "found character that cannot start"):
		return problem + "; put quotes around a value that starts with @, ` or %, and indent with spaces, not tabs"
	case strings.HasPrefix(problem, "found unknown escape character"):
		return problem + "; put single quotes, or none, around a text with \\"
	case strings.HasPrefix(problem, "mapping values are not allowed"):
		return problem + "; put quotes around a value with \": \" in it, and indent keys of one mapping equally"
	case strings.HasPrefix(problem, "found unexpected end of stream"):
		return problem + "; close the quote that is opened here"
	case strings.HasPrefix(problem, "did not find expected key"), strings.HasPrefix(problem, "did not find expected '-'"):
		return problem + "; indent the keys of one mapping, and the items of one list, equally"
	}
	return problem
}

// readableLines is the number of lines at the start of text that are YAML by
// themselves; ok is false when the search for it was given up.
func readableLines(text []byte) (lines int, ok bool) {
	all := bytes.SplitAfter(text, []byte("\n"))
	end, searched := len(text), 0
	for n := len(all) - 1; n > 0; n-- {
		end -= len(all[n])
		if searched += end; searched > maxSearched {
			return 0, false
		}
		if _, err := readDocuments(text[:end]); err == nil {
			return n, true
		}
	}
	return 0, true
}

// isNull reports whether a node is nothing: "", ~ or null, without quotes.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Blank reports whether a text says nothing: it is empty, or all comments.
func Blank(text []byte) bool {
	documents, err := readDocuments(text)
	return err == nil && (len(documents) == 0 || len(documents) == 1 && isNull(documents[0].Content[0]))
}
