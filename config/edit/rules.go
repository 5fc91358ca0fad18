package edit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"sftpconnector/config"
)

// Forbidden says that a change over the API would bring what it may not.
type Forbidden struct{ Key, Why string }

// Error gives the key and the reason.
func (e *Forbidden) Error() string { return e.Key + ": " + e.Why }

// reference is what a value takes from elsewhere: from the environment, from a file, from
// another place of the configuration.
type reference struct{ path, to string }

// references lists those of a connector.
func (d *Document) references(name string) []reference {
	at, err := d.find([]string{Connectors, name})
	if err != nil && d.root == nil || at.value == nil {
		return nil
	}
	var all []reference
	var walk func(n *yaml.Node, path []string)
	walk = func(n *yaml.Node, path []string) {
		key := dotted(path)
		switch n.Kind {
		case yaml.AliasNode:
			all = append(all, reference{key, "*" + n.Value})
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(n.Content[i+1], append(slices.Clone(path), n.Content[i].Value))
			}
		case yaml.SequenceNode: // items move
			for _, item := range n.Content {
				walk(item, path)
			}
		case yaml.ScalarNode:
			kind, _ := config.KindOf(append([]string{Connectors, name}, path...)...)
			if kind.Twin && n.Value != "" || takesVariable(n.Value) {
				all = append(all, reference{key, n.Value})
			}
		}
	}
	walk(at.value, nil)
	return all
}

// takesVariable reports whether a value has a ${NAME} in it; $$ is a dollar.
func takesVariable(text string) bool {
	return strings.Contains(strings.ReplaceAll(text, "$$", ""), "${")
}

// Reaches refuses a connector, changed from before to d, that takes from the daemon's
// environment, from a file of secrets or by an alias what it did not take for the same
// key before: it could have it sent to a server of its choice.
func (d *Document) Reaches(before *Document, name string) error {
	// What is shared hides its references from find; it may stay, and nothing else.
	if _, err := d.find([]string{Connectors, name}); err != nil {
		return err
	}
	had := before.references(name)
	for _, r := range d.references(name) {
		if slices.Contains(had, r) {
			continue
		}
		why := "a new ${NAME} may not be brought over the API, as it would read the daemon's environment: edit the file, or write $${ for a dollar and a brace"
		kind, _ := config.KindOf(append([]string{Connectors, name}, config.PathOf(r.path)...)...)
		switch {
		case strings.HasPrefix(r.to, "*"):
			why = "a new alias may not be brought over the API, as it may lead to a secret: edit the file"
		case kind.Twin:
			why = "the file of a secret may not be named over the API, as it would read the daemon's files: enter the secret itself, or edit the file"
		}
		return &Forbidden{r.path, why}
	}
	return nil
}

// Entered gives the keys of a connector's secrets that its text has written out.
func (d *Document) Entered(name string) map[string]bool {
	entered := map[string]bool{}
	for _, s := range d.secrets() {
		if len(s.path) > 2 && s.path[0] == Connectors && s.path[1] == name && !strings.Contains(s.node.Value, Redacted) && !takesVariable(s.node.Value) {
			entered[dotted(s.path[2:])] = true
		}
	}
	return entered
}

// Reenter refuses a change of a connector that would send a stored secret to somebody
// else: what was not entered in the change itself has to be what it was, for whom it
// was. before is nil for a new connector.
func Reenter(before, after *config.Connector, entered map[string]bool) error {
	had := map[string]config.Secret{}
	if before != nil {
		had = before.Secrets()
	}
	secrets := after.Secrets()
	var wrong []error
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		old, stored := had[key]
		switch {
		case entered[key]:
		case !stored || old != secrets[key]:
			wrong = append(wrong, &Forbidden{key, "the secret was not entered in this change: enter it"})
		default:
			if what := sentElsewhere(key, before, after); what != "" {
				wrong = append(wrong, &Forbidden{key, fmt.Sprintf("enter it again: %s changes, and the stored one is not sent to another place", what)})
			}
		}
	}
	return errors.Join(wrong...)
}

// sentElsewhere names the setting by which a secret would go to somebody else; "" if it
// goes to where it went.
func sentElsewhere(key string, a, b *config.Connector) string {
	type setting struct{ name, before, after string }
	is := func(name, before, after string) setting { return setting{name, before, after} }
	port := func(c *config.Connector) string { return fmt.Sprint(c.SFTP.Port) }
	hostKey := []setting{is("sftp.host_key", a.SFTP.HostKey.String(), b.SFTP.HostKey.String()), is("sftp.known_hosts_path", a.SFTP.KnownHostsPath, b.SFTP.KnownHostsPath)}
	jump := []setting{is("sftp.proxy_jump", a.SFTP.ProxyJump, b.SFTP.ProxyJump), is("sftp.username", a.SFTP.Username, b.SFTP.Username)}
	url := is("sftp.credentials_api.url", a.SFTP.CredentialsAPI.URL, b.SFTP.CredentialsAPI.URL)
	var all []setting
	switch {
	case key == "files.system_password":
		all = []setting{is("files.destination_directory_path", a.Files.DestinationDirectoryPath, b.Files.DestinationDirectoryPath), is("files.system_username", a.Files.SystemUsername, b.Files.SystemUsername)}
	case key == "sftp.credentials_api.secret_key":
		all = []setting{url}
	case strings.HasPrefix(key, "sftp.proxy_jump_"):
		all = append(jump, hostKey...)
	default:
		all = append([]setting{
			is("sftp.host", a.SFTP.Host, b.SFTP.Host), is("sftp.port", port(a), port(b)), url,
			is("sftp.credentials_api.space_id", a.SFTP.CredentialsAPI.SpaceID, b.SFTP.CredentialsAPI.SpaceID),
		}, append(jump, hostKey...)...)
	}
	for _, s := range all {
		if s.before != s.after {
			return s.name
		}
	}
	return ""
}

// Problem is the plain text of what is wrong with a change, for its maker; "" for an
// error that is none of the change's.
func Problem(err error) string {
	var mistakes config.Errors
	if errors.As(err, new(*AsText)) || errors.As(err, new(*MissingSecret)) || errors.As(err, new(*Forbidden)) || errors.As(err, &mistakes) {
		return err.Error()
	}
	return ""
}
