package convert

import (
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/space/credentials"
	"sftpconnector/space/spool"
)

// SpaceOf gives the Space that the element of that name imports; "" for a
// connector of the configuration, which cannot have such a name.
func SpaceOf(connector string) string {
	id, ok := strings.CutPrefix(connector, space.ConnectorName(""))
	if !ok {
		return ""
	}
	return id
}

// FromSpace gives the state of a Space, by what its element and itself say.
func FromSpace(st space.Status, r connector.Report) interapp.Space {
	s := interapp.Space{
		ID: st.ID, ConnectionStatus: string(r.Health.Status), Since: r.Health.Since.UTC(), Hint: r.Health.Hint, Error: r.Health.Error,
		Destination: r.Config.Files.DestinationDirectoryPath,
		Inbox:       fromInboxOf(st),
		Importing:   running(r), LastImport: lastPass(r),
		Sessions: make([]interapp.SpaceSession, 0, len(st.Sessions)), Credentials: FromCredentials(st.Credentials),
		HostKeys: []interapp.HostKey{},
	}
	for _, one := range st.Sessions {
		s.Sessions = append(s.Sessions, interapp.SpaceSession{
			Address: one.Address, Client: one.Client, Since: one.Since.UTC(), Bytes: one.Received,
		})
	}
	return s
}

func fromInboxOf(st space.Status) interapp.Inbox {
	return interapp.Inbox{
		Bytes: st.Bytes, Files: st.Files, Entries: st.Room.Entries, MaximumEntries: st.Room.MaximumEntries, Full: st.Room.Full,
		Quota: st.Quota, MaximumFileSize: st.MaximumFileSize,
	}
}

// FromHostKeys gives the server's keys.
func FromHostKeys(keys []ssh.PublicKey) []interapp.HostKey {
	out := make([]interapp.HostKey, 0, len(keys))
	for _, k := range keys {
		out = append(out, interapp.HostKey{Type: k.Type(), Fingerprint: ssh.FingerprintSHA256(k)})
	}
	return out
}

// FromCredentials gives what may be told of passwords.
func FromCredentials(all []credentials.Info) []interapp.SpaceCredential {
	out := make([]interapp.SpaceCredential, 0, len(all))
	for _, i := range all {
		out = append(out, fromCredential(i))
	}
	return out
}

func fromCredential(i credentials.Info) interapp.SpaceCredential {
	return interapp.SpaceCredential{ID: i.ID, Created: i.Created.UTC(), By: i.By, LastUsed: moment(i.LastUsed), Expires: moment(i.Expires)}
}

// FromLogin gives new credentials, with the password.
func FromLogin(l space.Login) interapp.NewCredentials {
	return interapp.NewCredentials{
		Space: l.Space, SpaceCredential: fromCredential(l.Info), Dropped: FromCredentials(l.Dropped),
		Login: interapp.SFTPLogin{Username: l.Space, Password: l.Password(), Host: l.Host, Port: strconv.Itoa(l.Port)},
	}
}

// FromInbox gives the files of an inbox that are in the state and match the
// name, no more than limit, and how many are left out. Both are as in a
// ledger.Query; empty ones select all.
func FromInbox(all []spool.File, state, name string, limit int) (files []interapp.InboxFile, more int) {
	files = []interapp.InboxFile{}
	for _, f := range all {
		switch {
		case state != "" && state != string(f.State), !matches(name, f.Name):
		case len(files) == limit:
			more++
		default:
			files = append(files, interapp.InboxFile{
				Name: f.Name, State: string(f.State), Since: f.Since.UTC(), Size: f.Size, ModTime: moment(f.ModTime),
			})
		}
	}
	return files, more
}

// matches reports whether a path has the text in it, or is as the pattern with
// * and ? says: these take any character, '/' too.
func matches(pattern, path string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return strings.Contains(path, pattern)
	}
	p, s := []rune(pattern), []rune(path)
	at, star, tried := 0, -1, 0 // the last star, and where what is behind it was tried
	for i := 0; i < len(s); {
		switch {
		case at < len(p) && p[at] == '*':
			star, tried = at, i
			at++
		case at < len(p) && (p[at] == '?' || p[at] == s[i]):
			at++
			i++
		case star >= 0:
			tried++
			at, i = star+1, tried
		default:
			return false
		}
	}
	return strings.Trim(string(p[at:]), "*") == ""
}
