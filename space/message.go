package space

import (
	"strconv"

	"golang.org/x/crypto/ssh"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/space/credentials"
)

// Message gives the state of a Space as the API tells it. r is the report of
// the connector that imports it. The public address and the host keys are left
// out.
func (st Status) Message(r connector.Report) interapp.Space {
	s := interapp.Space{
		ID: st.ID, ConnectionStatus: string(r.Health.Status), Since: r.Health.Since.UTC(), Hint: r.Health.Hint, Error: r.Health.Error,
		Destination: r.Config.Files.DestinationDirectoryPath,
		Inbox: interapp.Inbox{
			Bytes: st.Bytes, Files: st.Files, Entries: st.Room.Entries, MaximumEntries: st.Room.MaximumEntries, Full: st.Room.Full,
			Quota: st.Quota, MaximumFileSize: st.MaximumFileSize,
		},
		Importing: r.RunningMessage(), LastImport: r.LastMessage(),
		Sessions: make([]interapp.SpaceSession, 0, len(st.Sessions)), Credentials: credentials.Messages(st.Credentials),
		HostKeys: []interapp.HostKey{},
	}
	for _, one := range st.Sessions {
		s.Sessions = append(s.Sessions, interapp.SpaceSession{
			Address: one.Address, Client: one.Client, Since: one.Since.UTC(), Bytes: one.Received,
		})
	}
	return s
}

// HostKeyMessages gives the server's host keys as the API tells them.
func HostKeyMessages(keys []ssh.PublicKey) []interapp.HostKey {
	out := make([]interapp.HostKey, 0, len(keys))
	for _, k := range keys {
		out = append(out, interapp.HostKey{Type: k.Type(), Fingerprint: ssh.FingerprintSHA256(k)})
	}
	return out
}

// Message gives new credentials as the API tells them, with the password.
func (l Login) Message() interapp.NewCredentials {
	return interapp.NewCredentials{
		Space: l.Space, SpaceCredential: l.Info.Message(), Dropped: credentials.Messages(l.Dropped),
		Login: interapp.SFTPLogin{Username: l.Space, Password: l.Password(), Host: l.Host, Port: strconv.Itoa(l.Port)},
	}
}
