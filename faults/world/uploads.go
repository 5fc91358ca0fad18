//go:build linux

package world

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/model"
	"sftpconnector/faults/schedule"
)

// upload puts a file into a Space, as a client does that tries once. A step with
// a Part is cut before its end.
func (w *world) upload(ctx context.Context, s *spaceSite, step schedule.Step) error {
	defer s.lock(step.Path)() // the order of two uploads of a name is known
	u := model.Upload{Name: step.Path, Began: time.Now(), Outcome: model.Cut}
	sum := model.NewSummer()
	contents := source{seed: w.schedule.Seed}
	if _, err := io.Copy(sum, contents.contents(s.ID+"/"+step.Path, step.Size)); err != nil {
		return err
	}
	u.Sum = sum.Sum()
	u.Outcome = w.put(ctx, s, step, contents.contents(s.ID+"/"+step.Path, step.Size))
	u.Ended = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads = append(s.uploads, u)
	return nil
}

func (s *spaceSite) lock(name string) (unlock func()) {
	s.mu.Lock()
	m, ok := s.names[name]
	if !ok {
		m = &sync.Mutex{}
		s.names[name] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// put uploads the contents, and tells what the client knows of it.
func (w *world) put(ctx context.Context, s *spaceSite, step schedule.Step, contents io.Reader) model.Outcome {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", w.spacePort.Addr())
	if err != nil {
		return model.Cut
	}
	defer conn.Close()
	// No answer within this time is a lost connection.
	_ = conn.SetDeadline(time.Now().Add(40 * time.Second))
	c, channels, requests, err := ssh.NewClientConn(conn, w.spacePort.Addr(), &ssh.ClientConfig{
		User: s.ID, Auth: []ssh.AuthMethod{ssh.PublicKeys(w.clientKey)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return model.Cut
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	files, err := sftp.NewClient(client)
	if err != nil {
		return model.Cut
	}
	defer func() {
		_ = conn.Close() // without it a frozen server would hold the client
		_ = files.Close()
	}()
	if dir := path.Dir(step.Path); dir != "." {
		_ = files.MkdirAll(dir)
	}
	f, err := files.OpenFile(step.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return model.Cut
	}
	if step.Part > 0 {
		contents = io.LimitReader(contents, step.Size/2)
	}
	if _, err := io.Copy(struct{ io.Writer }{f}, contents); err != nil || step.Part > 0 {
		return model.Cut
	}
	if err := f.Close(); err != nil {
		return model.Unknown
	}
	return model.Acknowledged
}

// importedAll reports whether the inboxes are empty but for what was cut.
func (w *world) importedAll(ctx context.Context) error {
	for id := range w.spaces {
		left, err := w.inbox(ctx, id)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("space %s: %v in the inbox", id, left)
		}
	}
	return nil
}

// inbox is the files of a Space that wait to be imported.
func (w *world) inbox(ctx context.Context, id string) ([]string, error) {
	var list struct {
		Inbox []struct {
			Name  string `json:"name"`
			State string `json:"state"`
		} `json:"inbox"`
	}
	if err := w.api.call(ctx, "GET", "/api/v1/spaces/"+id+"/files", nil, &list); err != nil {
		return nil, err
	}
	var left []string
	for _, f := range list.Inbox {
		if f.State != "interrupted" && f.State != "uploading" {
			left = append(left, f.Name+" "+f.State)
		}
	}
	return left, nil
}
