package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestSecretNeverPrints(t *testing.T) {
	const secret = Secret("hunter2")
	holder := struct {
		Secret  Secret
		Pointer *Secret
		Map     map[string]Secret
	}{secret, new(Secret), map[string]Secret{"a": secret}}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%20s", "%.3s"} {
		printed = append(printed, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, []Secret{secret}))
	}
	printed = append(printed, fmt.Sprint(secret), fmt.Errorf("x: %v", secret).Error(), secret.String(), secret.GoString())
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(text))
	}
	text, err := secret.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	value, err := secret.MarshalYAML()
	if err != nil || value != "[redacted]" {
		t.Errorf("MarshalYAML gives %v, %v", value, err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", secret, "holder", holder)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", secret, "holder", holder)
	printed = append(printed, string(text), logged.String())
	for _, text := range printed {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") || !strings.Contains(text, "[redacted]") {
			t.Errorf("printed %s", text)
		}
	}
	if secret.Reveal() != "hunter2" {
		t.Errorf("revealed %s", secret.Reveal())
	}
}

func TestEmptySecretIsEmpty(t *testing.T) {
	text, err := json.Marshal(Secret(""))
	if got := fmt.Sprintf("%v%s%#v%s", Secret(""), Secret(""), Secret(""), text); got != `""` || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestPlacesKeepNoSecret: what errors may repeat has no secret in it, whatever a check does.
func TestPlacesKeepNoSecret(t *testing.T) {
	text := strings.Replace(oneConnector("port: *p\n      key_pairs_passphrase: hunter2", "", ""), "password: pw", "password: &p hunter2", 1)
	found := &report{file: "c.yaml"}
	top := &place{report: found}
	d := decoder{env: variables}
	d.value(parseYAML([]byte(text), found), reflect.ValueOf(new(Config)).Elem(), top)
	places := 0
	var walk func(*place)
	walk = func(p *place) {
		places++
		if strings.Contains(p.text, "hunter2") {
			t.Errorf("%s keeps %q", p.key, p.text)
		}
		for _, part := range p.parts {
			walk(part)
		}
	}
	walk(top)
	if places < 8 || top.at("connectors", "a", "sftp", "host").text != "sftp.example" {
		t.Errorf("only %d places", places)
	}
}

// TestConfigNeverPrints prints a whole configuration with every secret set.
func TestConfigNeverPrints(t *testing.T) {
	c := parse(t, "server: {tokens: [{name: a, token: hunter2-hunter2-hunter2, scopes: [read]}]}\n"+
		strings.Replace(oneConnector("", "", ""), "password: pw", "password: hunter2", 1))
	c.Connectors["a"].SFTP.KeyPairsPassphrase = "hunter2"
	c.Connectors["a"].SFTP.InteractiveAnswers = Answers{"code": "hunter2"}
	c.Connectors["a"].SFTP.JumpPassword, c.Connectors["a"].SFTP.JumpPassphrase = "hunter2", "hunter2"
	c.Connectors["a"].Files.SystemPassword = "hunter2"
	c.Connectors["a"].SFTP.CredentialsAPI.SecretKey = "hunter2"
	c.SpaceServer.SecretKeys = []SecretKey{{Key: "hunter2"}}
	c.Spaces = map[string]*Space{"a": {SystemPassword: "hunter2"}}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{string(text), fmt.Sprintf("%v %+v %#v %+v %+v", c, c, *c, *c.Connectors["a"], *c.Spaces["a"])} {
		if strings.Contains(got, "hunter2") {
			t.Errorf("printed %s", got)
		}
	}
}
