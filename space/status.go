package space

import (
	"context"
	"slices"

	"sftpconnector/space/credentials"
	"sftpconnector/space/spool"
	"sftpconnector/space/sshd"
)

// Status is what there is to say about a Space beside what its connector says.
type Status struct {
	ID              string
	Bytes           int64 // in the spool, uploads under way included
	Files           int
	Room            spool.Room
	Refused         int64 // uploads that have failed at a limit, since the spool was opened
	MaximumFileSize int64 // bytes
	Quota           int64 // bytes
	Sessions        []sshd.Session
	Credentials     []credentials.Info
}

// Status looks at a Space: ErrUnknown, or an error of the credentials' file.
func (s *Spaces) Status(id string) (Status, error) {
	one, err := s.find(id)
	if err != nil {
		return Status{}, err
	}
	s.mu.RLock()
	limits := one.limits
	s.mu.RUnlock()
	st := Status{ID: id, MaximumFileSize: limits.MaximumFileSize, Quota: limits.Quota}
	if one.spool != nil {
		st.Bytes, st.Files = one.spool.Usage()
		st.Room = one.spool.Room()
		st.Refused = one.spool.Refused()
	}
	if s.server != nil {
		st.Sessions = slices.DeleteFunc(s.server.Sessions(), func(session sshd.Session) bool { return session.Space != id })
	}
	st.Credentials, err = s.credentials.List(id)
	return st, err
}

// Files are those in the spool of a Space.
func (s *Spaces) Files(id string) ([]spool.File, error) {
	one, err := s.find(id)
	if err != nil || one.spool == nil {
		return nil, err
	}
	return one.spool.Files(), nil
}

// Login is what a client needs to upload to a Space.
type Login struct {
	credentials.Created
	Host string
	Port int
}

// Create makes one more password for a Space. key is the name of the secret key
// that asks for it, "" for an operator.
func (s *Spaces) Create(ctx context.Context, id, key string) (Login, error) {
	if _, err := s.find(id); err != nil {
		return Login{}, err
	}
	c, err := s.credentials.Create(ctx, id, key)
	if err != nil {
		return Login{}, err
	}
	s.log.Info("credentials made", "space", id, "id", c.ID, "key", key)
	for _, d := range c.Dropped {
		s.log.Info("credentials dropped, as eight are the most", "space", id, "id", d.ID, "key", d.By, "last_used", d.LastUsed)
	}
	l := Login{Created: c}
	l.Host, l.Port = s.Public()
	return l, nil
}

// Revoke ends a password of a Space, or all for "", and cuts the sessions of
// the Space: which of them came by that password is not known.
func (s *Spaces) Revoke(ctx context.Context, id, credential string) ([]credentials.Info, error) {
	if _, err := s.find(id); err != nil {
		return nil, err
	}
	revoked, err := s.credentials.Revoke(ctx, id, credential)
	if err == nil {
		s.log.Info("credentials revoked", "space", id, "count", len(revoked), "sessions_cut", s.disconnect(id))
	}
	return revoked, err
}

// Authorize reports whether a secret key may ask for the credentials of a Space,
// and the key's name. A wrong key, a foreign Space and an unknown one are the same.
func (s *Spaces) Authorize(key, id string) (name string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	name, ok = credentials.Authorize(s.keys, key, id)
	_, configured := s.public[id]
	return name, ok && configured
}
