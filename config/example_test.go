package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const exampleFile = "../config.example.yaml"

// TestExampleLoads: the example is a configuration of this version.
func TestExampleLoads(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(exampleFile, text, variables)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Connectors) != 3 || len(c.Spaces) != 2 {
		t.Errorf("%d connectors, %d Spaces", len(c.Connectors), len(c.Spaces))
	}
	for what, is := range map[string]bool{
		"a connector has a share":   Share(c.Connectors["invoices"].Files.DestinationDirectoryPath, c.Connectors["invoices"].Files.SystemUsername),
		"a connector uploads":       c.Connectors["outgoing"].Uploads() && c.Connectors["outgoing"].SFTP.CredentialsAPI.Enabled(),
		"uploads are received":      c.SpaceServer.Enabled(),
		"a Space has a share":       Share(c.Spaces["us_sp_124"].DestinationDirectoryPath, c.Spaces["us_sp_124"].SystemUsername),
		"the other is on this disk": !isShare(c.Spaces["us_sp_123"].DestinationDirectoryPath),
	} {
		if !is {
			t.Errorf("not so: %s", what)
		}
	}
}

// TestExampleStartsShort: the comment that starts the example is a configuration too.
func TestExampleStartsShort(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var short []string
	for _, line := range strings.Split(string(text), "\n")[1:] {
		code, indented := strings.CutPrefix(line, "#   ")
		if !indented {
			break
		}
		short = append(short, code)
	}
	if len(short) != 5 {
		t.Errorf("%d lines: %q", len(short), short)
	}
	if c := parse(t, strings.Join(short, "\n")+"\n"); c.Connectors["results"].Sync.NA() {
		t.Error("the short configuration has no schedule")
	}
}

// TestExampleIsComplete: the example has every key that the types have, and
// names the _file twin of every secret.
func TestExampleIsComplete(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	checked := 0
	var check func(key string, typ reflect.Type, nodes []*yaml.Node)
	check = func(key string, typ reflect.Type, nodes []*yaml.Node) {
		switch typ.Kind() {
		case reflect.Pointer:
			check(key, typ.Elem(), nodes)
		case reflect.Map, reflect.Slice:
			var items []*yaml.Node
			for _, n := range nodes {
				step := 1
				if n.Kind == yaml.MappingNode {
					step = 2
				}
				for i := step - 1; i < len(n.Content); i += step {
					items = append(items, n.Content[i])
				}
			}
			check(key, typ.Elem(), items)
		case reflect.Struct:
			for _, f := range fieldsOf(typ) {
				checked++
				var values []*yaml.Node
				for _, n := range nodes {
					for i := 0; i+1 < len(n.Content); i += 2 {
						if n.Content[i].Value == f.key {
							values = append(values, n.Content[i+1])
						}
					}
				}
				named := regexp.MustCompile(`\b` + f.key + `\b`).Match(text)
				if len(values) == 0 && !(f.twin && named) {
					t.Errorf("the example has no %s.%s", key, f.key)
				}
				if !f.twin {
					check(key+"."+f.key, typ.Field(f.index).Type, values)
				}
			}
		}
	}
	check("", reflect.TypeFor[Config](), document.Content)
	if checked < 40 {
		t.Errorf("only %d keys were looked for", checked)
	}
}
