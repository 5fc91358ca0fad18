//go:build linux

package world

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"text/template"

	"golang.org/x/crypto/ssh"
)

// token opens the API.
const token = "the-token-of-the-fault-suite"

var configurationText = template.Must(template.New("").Funcs(template.FuncMap{"quote": quote}).Parse(`
data_directory: {{quote .Data}}
server:
  listen: {{.Listen}}
  tokens: [{name: suite, token: {{.Token}}, scopes: [read, request, apply, configure]}]
  reply_to_allow: ["http://127.0.0.1:*"]
{{- if .Connectors}}
connectors:
{{- end}}
{{- range .Connectors}}
  {{.Name}}:
    direction: {{.Direction}}
    sftp:
      host: {{.Host}}
      port: {{.Port}}
      username: {{.User}}
      authentication: {{.Authentication}}
{{- if eq .Authentication "credentials"}}
      password: {{quote .Password}}
{{- else}}
      key_pairs_path: {{quote .KeyFile}}
{{- end}}
      host_key: {{quote .HostKey}}
      connections: {{.Connections}}
      legacy_algorithms: {{$.Reloaded}}
    files:
      source_directory_path: {{quote .From}}
      destination_directory_path: {{quote .To}}
{{- if .ShareUser}}
      system_username: {{.ShareUser}}
      system_password: {{quote .SharePassword}}
{{- end}}
      settle: {{.Settle}}
      after_copy: {{quote .AfterCopy}}
      on_conflict: {{.OnConflict}}
      layout: {{.Layout}}
{{- if eq .Direction "upload"}}
      upload_name: {{.UploadName}}
{{- end}}
    automatic_sftp_file_sync: {{.Interval}}
{{- end}}
{{- if .Spaces}}
space_server:
  listen: {{.SpaceListen}}
spaces:
{{- end}}
{{- range .Spaces}}
  {{.ID}}:
    destination_directory_path: {{quote .Destination}}
    same_name: {{.SameName}}
    public_keys: [{{quote .Key}}]
{{- end}}
`))

type connectorText struct {
	*site
	Host, Port, User, Password, KeyFile, HostKey string
	From, To                                     string
	ShareUser, SharePassword                     string
	AfterCopy                                    string
}

type spaceText struct {
	*spaceSite
	Destination, Key string
}

// configuration is config.yaml.
func (w *world) configuration() []byte {
	var connectors []connectorText
	for _, c := range w.schedule.Connectors {
		connectors = append(connectors, w.sites[c.Name].text())
	}
	var spaces []spaceText
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(w.clientKey.PublicKey())))
	for _, s := range w.schedule.Spaces {
		spaces = append(spaces, spaceText{w.spaces[s.ID], w.spaces[s.ID].destination, key})
	}
	var b bytes.Buffer
	err := configurationText.Execute(&b, map[string]any{
		"Data": w.path("data/connector"), "Listen": w.apiPort.Addr(), "SpaceListen": w.spacePort.Addr(), "Token": token,
		"Connectors": connectors, "Spaces": spaces, "Reloaded": w.reloads%2 == 1,
	})
	if err != nil {
		panic(err) // the template and its data are constant in kind
	}
	return b.Bytes()
}

func (s *site) text() connectorText {
	host, port, _ := net.SplitHostPort(s.relay.Addr())
	t := connectorText{site: s, Host: host, Port: port, User: s.login.user, Password: s.login.password, KeyFile: s.login.keyFile, HostKey: ssh.FingerprintSHA256(s.login.hostKey),
		From: s.place().out, To: s.target, AfterCopy: s.Connector.AfterCopy}
	if s.Direction == "upload" {
		t.From = s.source.dir
	}
	if t.AfterCopy == "move" {
		t.AfterCopy = "move:" + s.place().archive
		if s.Direction == "upload" {
			t.AfterCopy = "move:" + s.archive()
		}
	}
	if s.share != nil {
		t.ShareUser, t.SharePassword = s.share.user, s.share.password
	}
	return t
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
