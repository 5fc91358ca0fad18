package sftpd

import "golang.org/x/sys/unix"

func (s *session) statVFS(req request) (packet, error) {
	dir, err := s.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &fs); err != nil {
		return nil, err
	}
	p := answer(typeReply, req.id).uint64(uint64(fs.Bsize)).uint64(uint64(fs.Frsize))
	p = p.uint64(fs.Blocks).uint64(fs.Bfree).uint64(fs.Bavail)
	p = p.uint64(fs.Files).uint64(fs.Ffree).uint64(fs.Ffree)
	return p.uint64(0).uint64(0).uint64(uint64(fs.Namelen)), nil
}
