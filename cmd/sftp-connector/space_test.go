package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/interapp"
)

const spaceKey = "sk_0123456789abcdef"

// newSpaces is a site with the Spaces us_1 and us_2.
func newSpaces(t *testing.T, more string) *site {
	t.Helper()
	return newSite(t, `space_server: {listen: "127.0.0.1:0", secret_keys: [{name: ops, key: %s, spaces: [us_1]}]}
spaces:
  us_1: {destination_directory_path: ./us_1, inbox_quota: 3GB}
  us_2: {destination_directory_path: ./us_2}
%s`, spaceKey, more)
}

// spaceAt is what the verb says of a Space in JSON.
func (s *site) spaceAt(id string, more ...string) (one interapp.Space) {
	s.t.Helper()
	o := s.run(append([]string{"space", "list", id, "--json"}, more...)...).gives(0)
	if err := json.Unmarshal([]byte(o.stdout), &one); err != nil {
		s.t.Fatal(err)
	}
	return one
}

// filesAt is what the verb says of the files of a Space in JSON.
func (s *site) filesAt(id string, more ...string) (page interapp.SpaceFiles) {
	s.t.Helper()
	o := s.run(append([]string{"space", "files", id, "--json"}, more...)...).gives(0)
	if err := json.Unmarshal([]byte(o.stdout), &page); err != nil {
		s.t.Fatal(err)
	}
	return page
}

// uploads logs in to a Space and uploads a file; the session stays.
func (s *site) uploads(l interapp.SFTPLogin, name, text string) (*sftp.Client, error) {
	conn, err := ssh.Dial("tcp", l.Host+":"+l.Port, &ssh.ClientConfig{
		User: l.Username, Auth: []ssh.AuthMethod{ssh.Password(l.Password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { conn.Close() })
	c, err := sftp.NewClient(conn)
	if err != nil {
		return nil, err
	}
	f, err := c.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write([]byte(text)); err != nil {
		return nil, err
	}
	return c, f.Close()
}

// printed reads what 'space credentials' prints for people.
func printed(t *testing.T, o outcome) (l interapp.SFTPLogin, id string) {
	t.Helper()
	fields := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)  +(\S+)`).FindAllStringSubmatch(o.stdout, -1) {
		fields[m[1]] = strings.TrimSuffix(m[2], ",")
	}
	l = interapp.SFTPLogin{Username: fields["username"], Password: fields["password"], Host: fields["host"], Port: fields["port"]}
	o.gives(0, fmt.Sprintf("sftp -P %s us_1@127.0.0.1\n", l.Port))
	return l, fields["id"]
}

// The verbs with a daemon: from the password to the imported file, and back.
func TestSpaceVerbs(t *testing.T) {
	t.Parallel()
	s := newSpaces(t, "")
	r := s.daemon()
	s.run("space", "list").gives(0, "ID", "QUOTA", "us_1", "3.0 GB", "us_2", "10 GB")
	made := s.run("space", "credentials", "us_1").gives(0, "SHA256:", "shown this once")
	login, id := printed(t, made)
	session, err := s.uploads(login, "in.tmp", "12345") // which waits for its name
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(made.stdout, login.Password); n != 1 {
		t.Errorf("the password is printed %d times", n)
	}
	if page := s.filesAt("us_1"); len(page.Inbox) != 1 || page.Inbox[0].Name != "in.tmp" || page.Inbox[0].Size != 5 {
		t.Errorf("files before the import: %+v", page)
	}
	s.run("space", "files", "us_1", "--state", "temporary", "--name", "in").gives(0, "temporary", "5 B", "in.tmp")
	if one := s.spaceAt("us_1"); len(one.Sessions) != 1 || one.Inbox.Files != 1 {
		t.Errorf("during the upload: %+v", one)
	}
	if err := session.Rename("in.tmp", "in.csv"); err != nil {
		t.Fatal(err)
	}
	r.until("it is imported", func() bool { return s.exists("us_1/in.csv") && len(s.filesAt("us_1").Inbox) == 0 })
	s.run("space", "files", "us_1").gives(0, "IMPORTED", "delivered", "in.csv")
	r.until("the import has ended", func() bool {
		o := s.run("space", "list", "us_1").gives(0)
		return strings.Contains(o.stdout, "Connection Valid") && strings.Contains(o.stdout, "succeeded")
	})

	s.run("space", "credentials", "us_1", "--list").gives(0, id, "never")
	s.run("space", "revoke", "us_1", "nothing").gives(2).says(`no credentials "nothing"`, "--list")
	s.run("space", "revoke", "us_1", id).gives(0, "revoked "+id)
	if _, err := session.Getwd(); err == nil {
		t.Error("the session goes on")
	}
	if _, err := s.uploads(login, "more.csv", ""); err == nil {
		t.Error("a revoked password lets in")
	}
	s.run("space", "credentials", "us_1").gives(0)
	s.run("space", "revoke", "us_1", "--json").gives(0, `"space": "us_1"`, `"revoked": [`)
	s.run("space", "revoke", "us_1").gives(0, "no credentials to revoke")
	s.run("space", "retry", "us_1").gives(0, "no quarantined file")

	for _, verb := range []string{"list", "files", "credentials", "revoke", "retry"} {
		s.run("space", verb, "us_3").gives(2).says(`"us_3"`, "us_1, us_2")
	}
	s.run("space", "files", "us_1", "--state", "lost").gives(2).says("uploading", "conflict")
	s.run("space", "files", "us_1", "--limit", "0").gives(2)
	s.run("status", "spaces/us_1").gives(2)
	r.stop().gives(0)
	if strings.Contains(r.stderr.String(), login.Password) {
		t.Error("the password is in the log")
	}
}

// Without a daemon the verbs read and change what the daemon left.
func TestSpaceVerbsWithoutADaemon(t *testing.T) {
	t.Parallel()
	s := newSpaces(t, "")
	s.run("space", "list").gives(0, "us_1", "Not Checked", "3.0 GB")
	if s.exists("data/spaces") {
		t.Error("a look makes inboxes")
	}
	s.run("space", "files", "us_1").gives(0)
	var c interapp.SFTPCredentials
	o := s.run("space", "credentials", "us_1", "--json").gives(0)
	if err := json.Unmarshal([]byte(o.stdout), &c); err != nil || c.Data.Username != "us_1" || c.Data.Host != "127.0.0.1" {
		t.Fatalf("%v: %s", err, o.stdout)
	}
	r := s.daemon()
	c.Data.Port = fmt.Sprint(s.spaceAt("us_1").PublicPort) // any, until now
	if _, err := s.uploads(c.Data, "in.csv", "12345"); err != nil {
		t.Fatal(err)
	}
	r.until("it is imported", func() bool { return s.exists("us_1/in.csv") && len(s.filesAt("us_1").Inbox) == 0 })
	r.stop().gives(0)

	put(t, s.path("data/spaces/us_1"), "later.csv", "123", 0)
	one := s.spaceAt("us_1")
	if one.ConnectionStatus != "Connection Valid" || one.Inbox.Files != 1 || one.Inbox.Bytes != 3 || one.LastImport == nil || len(one.Credentials) != 1 || one.Credentials[0].LastUsed == nil {
		t.Errorf("%+v", one)
	}
	if page := s.filesAt("us_1"); len(page.Inbox) != 1 || page.Inbox[0].State != "ready" || len(page.Files) != 1 || page.Files[0].Name != "in.csv" || page.Files[0].State != "delivered" {
		t.Errorf("%+v", page)
	}
	if page := s.filesAt("us_1", "--state", "failed"); len(page.Inbox)+len(page.Files) != 0 {
		t.Errorf("%+v", page)
	}
	id := one.Credentials[0].ID
	s.run("space", "credentials", "us_1", "--list").gives(0, id)
	s.run("space", "revoke", "us_1", "nothing").gives(2)
	s.run("space", "revoke", "us_1", id).gives(0, "revoked "+id)
	s.run("space", "revoke", "us_1").gives(0, "no credentials to revoke")
	s.run("space", "retry", "us_1", "in.csv").gives(0, "no quarantined file")
	for _, verb := range []string{"list", "files", "credentials", "revoke", "retry"} {
		s.run("space", verb, "us_3").gives(2).says(`"us_3"`, "us_1, us_2")
	}
}

// The destination that fails is in the list, and in its exit code.
func TestSpaceListTellsOfADestinationThatFails(t *testing.T) {
	t.Parallel()
	s := newSpaces(t, "")
	s.write("us_1", "no directory")
	r := s.daemon()
	var c interapp.SFTPCredentials
	if err := json.Unmarshal([]byte(s.run("space", "credentials", "us_1", "--json").gives(0).stdout), &c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.uploads(c.Data, "in.csv", "12345"); err != nil {
		t.Fatal(err)
	}
	// While it is tried again, the status is another.
	var o outcome
	r.until("the import fails", func() bool {
		o = s.run("space", "list")
		return o.code == 1
	})
	o.gives(1, "Destination Unavailable", "1 file, 5 B", "us_1: ")
	r.until("the other Space is well", func() bool {
		o = s.run("space", "list", "us_2")
		return o.code == 0 && strings.Contains(o.stdout, "Connection Valid")
	})
	r.stop().gives(0)
	if o = s.run("space", "list"); !strings.Contains(o.stdout, "cancelled") { // the last try, by the stop
		o.gives(1, "Destination Unavailable", "1 file, 5 B")
	}
}

// With tokens, each verb sends one with the scope that it needs; the secret key
// is asked for by itself.
func TestSpaceVerbsSendTokens(t *testing.T) {
	t.Parallel()
	const tokens = "server: {listen: 127.0.0.1:0, tokens: [{name: reader, token: token-of-a-reader-1, scopes: [read]}, {name: maker, token: token-of-a-maker-12, scopes: [configure]}, {name: starter, token: token-of-starters, scopes: [apply]}]}\n"
	s := newSpaces(t, "")
	text := "space_server: {listen: \"127.0.0.1:0\", secret_keys: [{name: ops, key: " + spaceKey + ", spaces: [us_1]}]}\nspaces: {us_1: {destination_directory_path: ./us_1}}\n"
	s.write("config.yaml", tokens+text)
	r := s.daemon()
	for _, args := range [][]string{{"list"}, {"files", "us_1"}, {"credentials", "us_1"}, {"credentials", "us_1", "--list"}, {"revoke", "us_1"}, {"retry", "us_1"}} {
		s.run(append([]string{"space"}, args...)...).gives(0)
	}
	s.run("space", "list", "--token", "token-of-starters").gives(1).says("scope read")
	s.run("space", "credentials", "us_3", "--token", "token-of-a-maker-12").gives(1).says("us_3", "known: us_1")
	s.run("space", "credentials", "us_1", "--token", "token-of-a-reader-1").gives(1).says("scope configure")
	s.run("space", "list", "--server", s.url(), "--token", "token-of-a-reader-1").gives(0, "us_1")

	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url()+"/v1/auth/sftp-credentials?spaceId=us_1", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+spaceKey)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s %s %v", answer.Status, body, err)
	}
	var c interapp.SFTPCredentials
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.uploads(c.Data, "in.csv", "12345"); err != nil {
		t.Error(err)
	}
	r.stop().gives(0)
	for _, secret := range []string{c.Data.Password, spaceKey} {
		if strings.Contains(r.stderr.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func TestNoSpacesAnywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "connectors:\n  idle:\n    sftp: {host: 127.0.0.1, username: u, password: p}\n    files: {source_directory_path: /, destination_directory_path: ./idle}\n")
	all := [][]string{{"list"}, {"files", "us_1"}, {"credentials", "us_1"}, {"revoke", "us_1"}, {"retry", "us_1"}}
	for _, args := range all {
		s.run(append([]string{"space"}, args...)...).gives(2).says("space_server")
	}
	r := s.daemon()
	for _, args := range all {
		s.run(append([]string{"space"}, args...)...).gives(2).says("space_server")
	}
	r.stop().gives(0)
	s.run("space").gives(0, "list", "files", "credentials", "revoke")
}
