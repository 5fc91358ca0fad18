package sftp

import (
	"context"
	"path"

	"sftpconnector/store/sftp/wire"
)

// control is the first channel of a Source. It carries everything but listings and
// reads, and these too where the server allows no other channel.
type control struct {
	*wireChannel
	conn  *connection
	meter *meter
}

func (c *control) dataChannel() *dataChannel {
	return &dataChannel{channel: c.wireChannel, conn: c.conn, meter: c.meter}
}

func (c *control) lstat(ctx context.Context, path string) (attrs, error) {
	a, err := c.ask(ctx, func(a *wire.Call) { c.session.Lstat(a, path) })
	if err != nil {
		return attrs{}, err
	}
	return attrsOf(a.Attr), nil
}

func (c *control) statPath(ctx context.Context, path string) (attrs, error) {
	a, err := c.ask(ctx, func(a *wire.Call) { c.session.Stat(a, path) })
	if err != nil {
		return attrs{}, err
	}
	return attrsOf(a.Attr), nil
}

func (c *control) realPath(ctx context.Context, path string) (string, error) {
	a, err := c.ask(ctx, func(a *wire.Call) { c.session.RealPath(a, path) })
	if err != nil {
		return "", err
	}
	return a.Text, nil
}

func (c *control) readLink(ctx context.Context, path string) (string, error) {
	a, err := c.ask(ctx, func(a *wire.Call) { c.session.ReadLink(a, path) })
	if err != nil {
		return "", err
	}
	return a.Text, nil
}

// remove removes a file, never a directory.
func (c *control) remove(ctx context.Context, path string) error {
	_, err := c.ask(ctx, func(a *wire.Call) { c.session.Remove(a, path) })
	return err
}

// rename gives a file another path. By the draft, the server refuses if something has
// that path.
func (c *control) rename(ctx context.Context, from, to string) error {
	_, err := c.ask(ctx, func(a *wire.Call) { c.session.Rename(a, from, to) })
	return err
}

func (c *control) mkdir(ctx context.Context, path string) error {
	_, err := c.ask(ctx, func(a *wire.Call) { c.session.MakeDir(a, path) })
	return err
}

// slash is a directory's path with the slash before a name in it.
func slash(dir string) string {
	if path.Clean(dir) == "/" {
		return "/"
	}
	return dir + "/"
}
