package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// desk is where a person sits with the clients that upload to one Space: a
// directory with files, and a password.
type desk struct {
	*site
	dock             *dock
	space, password  string
	host, port       string
	patience         time.Duration
	askpass, trusted string
}

// newDesk has a directory with files to upload in it: a.csv, which was modified
// long ago, an empty one, and a large one.
func (k *dock) newDesk(t *testing.T, id string) *desk {
	t.Helper()
	host, port, err := net.SplitHostPort(k.addr())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{site: &site{t, t.TempDir()}, dock: k.under(t), space: id, password: k.passwords[id], host: host, port: port, patience: time.Minute}
	put(t, d.dir, "from/a.csv", "1,2,3\n", old)
	put(t, d.dir, "from/sub dir/empty.csv", "", old)
	put(t, d.dir, "from/big.bin", strings.Repeat("0123456789abcdef", 6<<16), old)
	d.askpass = d.path("askpass")
	d.write("askpass", "#!/bin/sh\nprintf '%s\\n' \"$UPLOAD_PASSWORD\"\n")
	if err := os.Chmod(d.askpass, 0o700); err != nil {
		t.Fatal(err)
	}
	d.trusted = d.path("known_hosts") // its own: another desk's client reads while this one writes
	d.write("known_hosts", string(sftptest.KnownHostsLines(k.addr(), k.hostKeys()...)))
	return d
}

// ssh are OpenSSH's options; those of its port differ.
func (d *desk) ssh() []string {
	return []string{"-F", "/dev/null", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + d.trusted,
		"-o", "GlobalKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no", "-o", "BatchMode=no"}
}

func (d *desk) target() string { return d.space + "@" + d.host }

// program is a client as a command, in the directory of the files.
func (d *desk) program(ctx context.Context, input, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = d.path("from"), strings.NewReader(input)
	cmd.Env = append(os.Environ(), "HOME="+d.dir, "SSH_ASKPASS="+d.askpass, "SSH_ASKPASS_REQUIRE=force", "SSH_AUTH_SOCK=",
		"LANG=C.UTF-8", "UPLOAD_PASSWORD="+d.password)
	return cmd
}

// run runs a client and gives what it prints.
func (d *desk) run(input, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), d.patience)
	defer cancel()
	text, err := d.program(ctx, input, name, args...).CombinedOutput()
	return string(text), err
}

// sftp runs OpenSSH's sftp, which ends with an error if a command without '-'
// before it fails.
func (d *desk) sftp(commands ...string) (string, error) {
	args := append(d.ssh(), "-P", d.port, "-b", "-", d.target())
	return d.run(strings.Join(commands, "\n")+"\n", "sftp", args...)
}

// lftp runs it with its settings; it ends with an error if a command fails.
func (d *desk) lftp(commands string) (string, error) {
	script := fmt.Sprintf("set cmd:fail-exit true; set net:max-retries 2; set net:timeout 20; set xfer:log no; set sftp:connect-program 'ssh -a -x %s'; open -u %s,%s -p %s sftp://%s; %s",
		strings.Join(d.ssh(), " "), d.space, d.password, d.port, d.host, commands)
	return d.run("", "lftp", "--norc", "-c", script)
}

// rclone runs it with a remote "space:".
func (d *desk) rclone(args ...string) (string, error) {
	obscured, err := d.run(d.password, "rclone", "obscure", "-")
	if err != nil {
		d.t.Fatalf("rclone obscure: %v\n%s", err, obscured)
	}
	d.write("rclone.conf", fmt.Sprintf("[space]\ntype = sftp\nhost = %s\nport = %s\nuser = %s\npass = %s\nknown_hosts_file = %s\nshell_type = none\n",
		d.host, d.port, d.space, strings.TrimSpace(obscured), d.trusted))
	return d.run("", "rclone", append([]string{"--config", d.path("rclone.conf"), "-v"}, args...)...)
}

// ok checks that a client said nothing of a failure.
func (d *desk) ok(text string, err error) string {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%v; it printed:\n%s\nThe log:\n%s", err, text, d.dock.d.stderr.end())
	}
	return text
}

// has gives the contents of a file of the desk.
func (d *desk) has(name string) string {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.path("from"), name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// keepsTime checks that an imported file has the time of the uploaded one.
func (d *desk) keepsTime(from, to string) {
	d.t.Helper()
	want, err := os.Stat(filepath.Join(d.path("from"), from))
	if err != nil {
		d.t.Fatal(err)
	}
	if got, err := os.Stat(filepath.Join(d.dock.path(d.space), to)); err != nil || !got.ModTime().Equal(want.ModTime()) {
		d.t.Errorf("%s: %v %v, want the time %s", to, got, err, want.ModTime())
	}
}

// cut starts a client that uploads slowly, and kills it when some of the file
// is there.
func (d *desk) cut(part, name string, args ...string) {
	d.t.Helper()
	cmd := d.program(d.t.Context(), "", name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // and its ssh with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	gone := strings.Count(d.dock.d.stderr.String(), d.loggedOut())
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	there := func() (size int64) {
		for _, f := range d.dock.waiting(d.space) {
			if f.Name == part && f.State != "ready" {
				size = f.Size
			}
		}
		return size
	}
	d.dock.until("some of "+part+" is there", func() bool { return there() > 256<<10 })
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		d.t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	d.dock.until("the server has noticed", func() bool {
		return strings.Count(d.dock.d.stderr.String(), d.loggedOut()) > gone
	})
	if left := there(); left == 0 || left >= int64(len(d.has(part))) {
		d.t.Fatalf("%d bytes are left of %s", left, part)
	}
}

func (d *desk) loggedOut() string { return `msg="logged out" space=` + d.space + " " }

// The clients that people have, as they come from Debian.
func TestUploadsOfRealClients(t *testing.T) {
	t.Parallel()
	all := spaces{}
	for _, id := range []string{"sftp", "commands", "reput", "scp", "lftp", "lftp-cut", "rclone"} {
		all[id] = ""
	}
	k := newDock(t, "", all)
	for id, test := range map[string]func(*desk){
		"sftp": testSFTP, "commands": testSFTPCommands, "reput": testReput, "scp": testSCP,
		"lftp": testLFTP, "lftp-cut": testLFTPContinues, "rclone": testRclone,
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			test(k.newDesk(t, id))
		})
	}
}

func testSFTP(d *desk) {
	out := d.ok(d.sftp("put -p a.csv", "put big.bin with\\ space.bin", "mkdir tree", `put -r "sub dir" tree`))
	if strings.Contains(out, "enied") || strings.Contains(out, "Couldn't") {
		d.t.Errorf("it printed:\n%s", out)
	}
	d.dock.imports(d.space, "a.csv", d.has("a.csv"), "with space.bin", d.has("big.bin"), "tree/sub dir/empty.csv", "")
	d.keepsTime("a.csv", "a.csv")
}

// All that a client may do with what is not imported yet, and all that it may not.
func testSFTPCommands(d *desk) {
	out := d.ok(d.sftp("put big.bin x.tmp", "get x.tmp back", "mkdir d", "rename x.tmp d/y.tmp", "ls -l d", "df", "put a.csv gone.tmp", "rm gone.tmp",
		"-rmdir d", "-get gone.tmp", "mkdir e", "rmdir e", "pwd", "cd d", "pwd"))
	for _, want := range []string{"y.tmp", "Size", "Failure", `File "/gone.tmp" not found`, "Remote working directory: /\n", "Remote working directory: /d\n"} {
		if !strings.Contains(out, want) {
			d.t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if d.has("back") != d.has("big.bin") {
		d.t.Error("what came back is not what was sent")
	}
	for _, forbidden := range []string{"ln -s /etc/passwd link", "ln d/y.tmp hard", "cd ..", "cd d/../../../etc"} {
		if out, err := d.sftp(forbidden); err == nil || !strings.Contains(out, "ermission denied") {
			d.t.Errorf("%s: %v\n%s", forbidden, err, out)
		}
	}
	d.ok(d.sftp("chmod 600 d/y.tmp", "rename d/y.tmp /y.bin", "rmdir d"))
	d.dock.imports(d.space, "y.bin", d.has("big.bin"))
}

// An upload whose connection was lost goes on where it was.
func testReput(d *desk) {
	for _, again := range []string{"reput", "put -a"} {
		name := strings.Fields(again)[0] + ".bin"
		if err := os.Rename(d.path("from/big.bin"), d.path("from/"+name)); err != nil {
			d.t.Fatal(err)
		}
		script := d.path("script")
		d.write("script", "put "+name+"\n")
		d.cut(name, "sftp", append(d.ssh(), "-P", d.port, "-l", "8000", "-b", script, d.target())...)
		d.ok(d.sftp(again + " " + name))
		if err := os.Rename(d.path("from/"+name), d.path("from/big.bin")); err != nil {
			d.t.Fatal(err)
		}
	}
	d.dock.imports(d.space, "reput.bin", d.has("big.bin"), "put.bin", d.has("big.bin"))
}

func testSCP(d *desk) {
	scp := func(args ...string) {
		d.t.Helper()
		d.ok(d.run("", "scp", append(append(d.ssh(), "-P", d.port), args...)...))
	}
	scp("-p", "a.csv", d.target()+":")
	scp("big.bin", d.target()+":renamed.bin")
	scp("-r", "sub dir", d.target()+":")
	d.dock.imports(d.space, "a.csv", d.has("a.csv"), "renamed.bin", d.has("big.bin"), "sub dir/empty.csv", "")
	d.keepsTime("a.csv", "a.csv")
}

func testLFTP(d *desk) {
	d.ok(d.lftp("put a.csv; put big.bin -o x.tmp; cat x.tmp > back; mkdir d; mv x.tmp d/y.bin; ls d; mirror -R . mirrored"))
	if d.has("back") != d.has("big.bin") {
		d.t.Error("what came back is not what was sent")
	}
	d.dock.imports(d.space, "a.csv", d.has("a.csv"), "d/y.bin", d.has("big.bin"),
		"mirrored/a.csv", d.has("a.csv"), "mirrored/big.bin", d.has("big.bin"), "mirrored/back", d.has("back"), "mirrored/sub dir/empty.csv", "")
	d.keepsTime("a.csv", "mirrored/a.csv")
}

func testLFTPContinues(d *desk) {
	d.cut("big.bin", "lftp", "--norc", "-c", fmt.Sprintf("set net:limit-rate 0:1000000; set sftp:connect-program 'ssh -a -x %s'; open -u %s,%s -p %s sftp://%s; put big.bin",
		strings.Join(d.ssh(), " "), d.space, d.password, d.port, d.host))
	d.ok(d.lftp("put -c big.bin"))
	d.dock.imports(d.space, "big.bin", d.has("big.bin"))
}

// rclone sets times after it has closed a file, and looks whether they hold.
func testRclone(d *desk) {
	out := d.ok(d.rclone("copy", ".", "space:in"))
	if strings.Contains(out, "ERROR") || !strings.Contains(out, "Transferred:            3 / 3, 100%") {
		d.t.Errorf("it printed:\n%s", out)
	}
	d.ok(d.rclone("copyto", "a.csv", "space:a.tmp"))
	d.ok(d.rclone("moveto", "space:a.tmp", "space:final.csv"))
	d.dock.imports(d.space, "in/a.csv", d.has("a.csv"), "in/big.bin", d.has("big.bin"), "in/sub dir/empty.csv", "", "final.csv", d.has("a.csv"))
	d.keepsTime("a.csv", "in/a.csv")
	d.keepsTime("a.csv", "final.csv")
}
