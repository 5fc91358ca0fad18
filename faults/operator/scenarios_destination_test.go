//go:build linux

package operator

import (
	"os"

	"golang.org/x/sys/unix"
)

// mount puts a small file system of its own at a directory.
func (r *rig) mount(name string, data string) {
	r.Helper()
	r.mkdir(name)
	r.must(unix.Mount("tmpfs", r.path(name), "tmpfs", 0, data))
	r.Cleanup(func() {
		if err := unix.Unmount(r.path(name), unix.MNT_DETACH); err != nil {
			r.Error(err)
		}
	})
	r.must(os.Chown(r.path(name), r.uid, r.gid))
}

func (r *rig) remount(name string, flags uintptr, data string) {
	r.Helper()
	r.must(unix.Mount("", r.path(name), "", unix.MS_REMOUNT|flags, data))
}

func destinationFaults() map[string]scenario {
	return map[string]scenario{
		"Destination not mounted": func(r *rig) func() {
			s := r.newSSHD()
			r.write("source/good.csv", []byte("good"))
			r.run(settings{sftp: s.login(), destination: r.path("nas/results")})
			return func() { r.mkdir("nas") }
		},
		"Destination read-only": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.mount("destination", "size=1m")
			r.remount("destination", unix.MS_RDONLY, "")
			return func() { r.remount("destination", 0, "") }
		}),
		"Destination full": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", make([]byte, 600<<10))
			r.mount("destination", "size=1m")
			r.write("destination/ballast", make([]byte, 800<<10))
			return func() { r.remove("destination/ballast") }
		}),
		"Destination's permission denied": healthy(settings{}, func(r *rig) func() {
			r.write("source/good.csv", []byte("good"))
			r.chmod("destination", 0o555)
			return func() { r.chmod("destination", 0o755) }
		}),
		"Share away": func(r *rig) func() {
			share := r.newSMBD()
			share.stop()
			r.runToShare(share, sharePassword)
			return share.start
		},
		"Wrong password of a share": func(r *rig) func() {
			share := r.newSMBD()
			r.runToShare(share, "the old one")
			return func() { share.password("the old one"); r.apply() }
		},
	}
}

func (r *rig) runToShare(share *smbd, password string) {
	r.Helper()
	s := r.newSSHD()
	r.write("source/good.csv", []byte("good"))
	r.run(settings{sftp: s.login(), destination: "smb://" + share.addr + "/share/results",
		files: ", system_username: connector, system_password: " + password})
}
