package main

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
)

// demoRoot is where the demo's server shows its directory.
const demoRoot = "/results"

// demoFiles answers the requests of the demo's server out of a directory.
type demoFiles struct{ root *os.Root }

// below gives the name of a request's path in the directory.
func below(p string) (string, error) {
	rest, ok := strings.CutPrefix(path.Clean(p), demoRoot)
	if !ok || rest != "" && rest[0] != '/' {
		return "", fs.ErrNotExist
	}
	return path.Join(".", rest), nil
}

// Fileread implements sftp.FileReader.
func (d demoFiles) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	name, err := below(r.Filepath)
	if err != nil {
		return nil, err
	}
	return d.root.Open(name)
}

// Filelist implements sftp.FileLister.
func (d demoFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	name, err := below(r.Filepath)
	if err != nil {
		return nil, err
	}
	if r.Method != "List" {
		info, err := d.root.Stat(name)
		return infos{info}, err
	}
	entries, err := fs.ReadDir(d.root.FS(), name)
	if err != nil {
		return nil, err
	}
	var list infos
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			list = append(list, info)
		}
	}
	return list, nil
}

// infos is a finished listing.
type infos []fs.FileInfo

// ListAt implements sftp.ListerAt.
func (l infos) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if offset+int64(n) == int64(len(l)) {
		return n, io.EOF
	}
	return n, nil
}

// refuse answers everything that would change something.
type refuse struct{}

// Filewrite implements sftp.FileWriter.
func (refuse) Filewrite(*sftp.Request) (io.WriterAt, error) { return nil, fs.ErrPermission }

// Filecmd implements sftp.FileCmder.
func (refuse) Filecmd(*sftp.Request) error { return fs.ErrPermission }
