package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A person follows the page "SFTP File Upload": credentials by curl, then sftp
// on a terminal, which asks for the host key and the password.
func TestWalkThroughOfAnUpload(t *testing.T) {
	t.Parallel()
	const key = "sk_123_a_secret_key_of_the_api"
	k := newDock(t, "secret_keys: [{name: ops, key: "+key+", spaces: [us_sp_123]}]", spaces{"us_sp_123": "", "us_sp_456": ""})
	for name, answered := range map[string]bool{"typed": false, "SSH_ASKPASS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := k.under(t).newDesk(t, "us_sp_123")
			myfile := "from " + name + "\n" + strings.Repeat("4711,a line of a file\n", 200_000)
			put(t, d.dir, "from/myfile.csv", myfile, old)
			if answered { // both would be myfile.csv in one Space
				d.space, d.password = "us_sp_456", k.passwords["us_sp_456"]
			} else {
				d.fetch(key)
			}
			d.walk(answered)
			d.dock.imports(d.space, "myfile.csv", myfile)
		})
	}
	// A foreign Space is not told from one that is not there.
	d := k.newDesk(t, "us_sp_123")
	for _, ask := range [][]string{{key, "us_sp_456"}, {key, "us_sp_789"}, {"sk_of_nobody_at_all", "us_sp_123"}} {
		out := d.ok(d.run("", "curl", "-sS", "-w", "%{http_code}", "-G", k.url()+"/v1/auth/sftp-credentials", "-H", "Authorization: Bearer "+ask[0], "-d", "spaceId="+ask[1]))
		if !strings.HasSuffix(out, "401") || strings.Contains(out, ask[1]) {
			t.Errorf("%s: %s", ask[1], out)
		}
	}
}

// fetch gets new credentials as the page says, and uses them from then on.
func (d *desk) fetch(key string) {
	d.t.Helper()
	out := d.ok(d.run("", "curl", "-sS", "-f", "-G", d.dock.url()+"/v1/auth/sftp-credentials", "-H", "Authorization: Bearer "+key, "-d", `spaceId=`+d.space))
	var answer struct {
		Data struct{ Username, Password, Host, Port string }
	}
	strictly(d.t, out, &answer)
	if got := answer.Data; got.Username != d.space || got.Host != d.host || got.Port != d.port || len(got.Password) < 24 {
		d.t.Fatalf("credentials: %s %s %s, a password of %d characters", got.Username, got.Host, got.Port, len(got.Password))
	}
	var fields struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(out), &fields); err != nil {
		d.t.Fatal(err)
	}
	if keys := keysOf(d.t, fields.Data); !slices.Equal(keys, []string{"host", "password", "port", "username"}) {
		d.t.Errorf("it has %v", keys)
	}
	d.password = answer.Data.Password
}

// walk connects, uploads myfile.csv and exits. Who is asked, for the host key
// and the password, is the person or the program of SSH_ASKPASS.
func (d *desk) walk(answered bool) {
	d.t.Helper()
	cmd := exec.Command("sftp", "-F", "/dev/null", "-o", "UserKnownHostsFile="+d.path("new_known_hosts"), "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "PubkeyAuthentication=no", "-P", d.port, d.target())
	cmd.Dir, cmd.Env = d.path("from"), append(os.Environ(), "TERM=xterm", "LANG=C.UTF-8", "SSH_AUTH_SOCK=")
	if answered {
		cmd.Env = append(cmd.Env, "SSH_ASKPASS="+d.path("answer"), "SSH_ASKPASS_REQUIRE=force", "UPLOAD_PASSWORD="+d.password)
		d.write("answer", "#!/bin/sh\necho \"$1\" >>"+d.path("questions")+"\ncase \"$1\" in *authenticity*) echo yes ;; *) echo \"$UPLOAD_PASSWORD\" ;; esac\n")
		if err := os.Chmod(d.path("answer"), 0o700); err != nil {
			d.t.Fatal(err)
		}
	}
	r, user := atTerminal(d.t, "sftp", cmd)
	step := func(wait, answer string) {
		d.t.Helper()
		asked := regexp.MustCompile(wait)
		r.until("it shows "+wait, func() bool { return asked.MatchString(r.stdout.String()) })
		if _, err := user.WriteString(answer); err != nil {
			d.t.Fatal(err)
		}
	}
	host := regexp.QuoteMeta(d.host)
	hostKey, password := `The authenticity of host '\[`+host+`\]:`+d.port+`.* can't be established[^?]*SHA256:[^?]*\(yes/no`, d.space+`@`+host+`.*(?i:password): $`
	if !answered {
		step(hostKey, "yes\r")
		step(password, d.password+"\r")
	}
	step(`Connected to `+host+`[^$]*sftp> $`, "put myfile.csv\r")
	step(`Uploading myfile\.csv to /myfile\.csv[^$]*myfile\.csv +100% +\d+[KM]B +[\d.]+[KM]B/s +\d\d:\d\d[^$]*sftp> $`, "exit\r")
	o := r.wait(time.Minute).gives(0)
	if strings.Contains(o.stdout, d.password) {
		d.t.Error("the password is on the screen")
	}
	if !answered {
		return
	}
	text, err := os.ReadFile(d.path("questions"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, want := range []string{hostKey, `(?m)` + password} {
		if !regexp.MustCompile(want).Match(text) {
			d.t.Errorf("it did not ask %s, but:\n%s", want, text)
		}
	}
}
