package credentials

import "sftpconnector/interapp"

// Message gives what the API may tell of a password.
func (i Info) Message() interapp.SpaceCredential {
	return interapp.SpaceCredential{
		ID: i.ID, Created: i.Created.UTC(), By: i.By, LastUsed: interapp.TimeOrNull(i.LastUsed), Expires: interapp.TimeOrNull(i.Expires),
	}
}

// Messages gives what the API may tell of passwords. It is never nil.
func Messages(all []Info) []interapp.SpaceCredential {
	out := make([]interapp.SpaceCredential, 0, len(all))
	for _, i := range all {
		out = append(out, i.Message())
	}
	return out
}
