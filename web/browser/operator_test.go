package browser_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"sftpconnector/store/sftp/sftptest"
)

// results is a configuration with one connector, and a comment at its host.
func results(e sftptest.Endpoint, more string) string {
	return fmt.Sprintf(`connectors:
  results:
    # the machine in the second hall
    sftp:
      host: %s   # ask Ada before changing it
      port: %d
      username: %s
      authentication: key-pairs
      key_pairs_path: %q
      known_hosts_path: %q
    files: {source_directory_path: %q, destination_directory_path: ./copied, settle: 0s}
%s`, e.Host, e.Port, e.User, e.PrivateKeyPath, e.KnownHosts, e.Root, more)
}

// Apply is pressed, and the files are seen to arrive, on the page and at the destination.
// Then the server goes: the word and the hint change without a reload; and back again.
func TestApplyAndAServerThatGoes(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "day/a.csv", "alpha")
	put(t, server.Root, "b.csv", "beta")
	d := newDaemon(t, results(server.Endpoint, ""))
	b := d.visit("/")
	b.shows("results", "Not Checked")
	b.shoot("before")
	b.follow("main table a")
	b.shows("SFTP Configuration", "File Handling Overview")
	b.follow("button.primary")
	b.shows("The Apply has started", "Connection Valid")
	d.until("the files are there", func() bool { return d.read("copied/day/a.csv") == "alpha" && d.read("copied/b.csv") == "beta" })
	b.shows("2 files, 9 B")
	b.shoot("applied")
	if strings.Contains(eval[string](b, "location.search"), "done") {
		t.Error("the outcome stays in the address")
	}
	b.follow(`nav.tabs li:nth-child(3) a`)
	b.shows("day/a.csv", "b.csv", "delivered")
	put(t, server.Root, "c.csv", "gamma")

	other := b.another()
	other.visit("/connectors/results")
	other.follow("button.primary")
	b.shows("c.csv") // on the page that nobody touched
	b.shoot("files")

	b.visit("/connectors/results")
	before := b.documents()
	server.Stop()
	other.follow("button.primary")
	from := time.Now()
	b.shows("Connection Refused", "Check your firewall settings")
	t.Logf("the word changed within %s of the Apply", time.Since(from).Round(time.Millisecond))
	if title := eval[string](b, "document.title"); !strings.Contains(title, "Connection Refused") {
		t.Errorf("the title is %q", title)
	}
	if icon := eval[string](b, `document.querySelector("link[rel=icon]").href`); !strings.Contains(icon, "failing") {
		t.Errorf("the icon is %s", icon)
	}
	b.shoot("server-gone")
	server.Restart()
	other.follow("button.primary")
	b.shows("Connection Valid")
	if b.documents() != before {
		t.Error("the page was loaded anew")
	}
}

// A check is drawn stage by stage in a dialog.
func TestCheck(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	d := newDaemon(t, results(server.Endpoint, ""))
	b := d.visit("/connectors/results")
	b.click("fieldset .buttons button:nth-of-type(2)")
	b.shows("authenticate: passed", "destination: passed", "Connection Valid")
	b.until("a dialog is there", func() bool { return eval[bool](b, `document.querySelector("dialog").open`) })
	b.look(axe(t), "check-dialog")
	b.click("dialog button")
	b.until("it is gone", func() bool { return eval[bool](b, `!document.querySelector("dialog")`) })

	// The buttons of a check of what was typed do what they say.
	b.write("#f-files-source-directory-path", server.Root+"/none")
	b.follow("fieldset .buttons button:nth-of-type(2)")
	b.shows("Source Directory Not Found", "they are not saved")
	b.follow(`button[name="review"]`)
	b.shows("What will change", "/none")
}

// A setting is saved as one line of the file, with its comment and its line ends.
func TestSetting(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "out/a.csv", "alpha")
	d := newDaemon(t, "")
	d.stop()
	text := strings.ReplaceAll("server: {listen: \"127.0.0.1:0\"}\n"+results(server.Endpoint, ""), "\n", "\r\n")
	d.write("config.yaml", text)
	d.listen = "127.0.0.1:0"
	d.start()
	b := d.visit("/connectors/results")
	b.mayHear("422")
	b.write("#f-sftp-host", "localhost")
	if got := eval[string](b, `document.querySelector("button.primary").textContent`); got != "Save and Apply" {
		t.Errorf("the button says %q", got)
	}
	b.follow("button.primary")
	b.shows("What will change", "localhost", "ask Ada before changing it")
	b.shoot("review")
	b.follow(".buttons button.primary") // the host key of localhost is not known: the check fails
	b.shows("Nothing was saved", "Host Key Unknown", "Save it anyway")
	b.shoot("check-failed")
	if d.read("config.yaml") != text {
		t.Error("the file was changed")
	}
	b.follow(`button[name="force"]`)
	b.shows("Saved")
	want := strings.Replace(text, "host: 127.0.0.1   #", "host: localhost   #", 1)
	if got := d.read("config.yaml"); got != want {
		t.Errorf("the file is\n%q\nwant\n%q", got, want)
	}
	b.shoot("saved")
	b.visit("/connectors/results/host-key")
	b.shows("SHA256:", "Compare the fingerprint")
	b.follow("main form button.primary")
	b.shows("The host key is trusted now")
	b.follow("button.primary")
	d.until("the file is there", func() bool { return d.read("copied/out/a.csv") == "alpha" })
}

// Another hand changes the file while somebody types: both versions are shown, and nothing
// is lost.
func TestConflict(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	d := newDaemon(t, results(server.Endpoint, ""))
	b := d.visit("/connectors/results")
	b.mayHear("409")
	b.write("#f-files-destination-directory-path", "./mine")
	d.write("config.yaml", strings.Replace(d.read("config.yaml"), "./copied", "./theirs", 1))
	b.follow("button.primary")
	b.shows("Changed by another hand", "./theirs", "./mine")
	b.shoot("conflict")
	b.follow(`button[name="review"]`)
	b.shows("What will change", "./mine")
	b.follow(".buttons button.primary")
	b.shows("Saved, and the Apply has started")
	if got := d.read("config.yaml"); !strings.Contains(got, "./mine") || strings.Contains(got, "./theirs") {
		t.Errorf("the file is\n%s", got)
	}
}

// Typing, open details and selected text survive updates.
func TestUpdatesTouchNothingThatIsInUse(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "alpha")
	d := newDaemon(t, results(server.Endpoint, "    automatic_sftp_file_sync: 1s\n"))
	b := d.visit("/connectors/results")
	b.shows("Connection Valid")
	b.write("#f-sftp-username", "somebody")
	b.click("details.inline summary")
	eval[bool](b, `getSelection().selectAllChildren(document.querySelector("#status")), window.updates = 0, new MutationObserver(() => window.updates++).observe(document.getElementById("main"), {subtree: true, childList: true, characterData: true}), true`)
	put(t, server.Root, "b.csv", "beta")
	b.shows("Connection Valid")
	b.until("the page was updated a few times", func() bool { return eval[int](b, "window.updates") > 10 })
	if got := eval[string](b, `document.querySelector("#f-sftp-username").value`); got != "somebody" {
		t.Errorf("the field has %q", got)
	}
	if !eval[bool](b, `document.querySelector("details.inline").open`) {
		t.Error("the details were closed")
	}
	if got := eval[string](b, "getSelection().toString()"); got != "Connection Status" {
		t.Errorf("selected is %q", got)
	}
	if got := eval[string](b, `document.querySelector("button.primary").textContent`); got != "Save and Apply" {
		t.Errorf("the button says %q", got)
	}
	b.shoot("typing")
}

// The daemon goes: a banner says so; and it goes when the daemon is back.
func TestDaemonGoesAndComesBack(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	d := newDaemon(t, results(server.Endpoint, "    automatic_sftp_file_sync: 1s\n"))
	b := d.visit("/")
	b.mayHear("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE_CHUNKED_ENCODING", "401")
	b.shows("live, ")
	d.stop()
	b.shows("The daemon does not answer since")
	b.shoot("gone")
	d.start()
	b.until("the banner is gone", func() bool { return !strings.Contains(b.text(), "does not answer") })
	b.shows("live, ")
	b.shoot("back")
}

// All but the live parts works without scripts.
func TestWithoutScripts(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "alpha")
	d := newDaemon(t, results(server.Endpoint, ""))
	b := d.visit("/connectors/results")
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.visit("/connectors/results")
	b.do("Check", chromedp.Click(chromedp.CSS("fieldset .buttons button:nth-of-type(2)")), chromedp.WaitVisible(chromedp.CSS("table.stages")))
	b.shoot("check")
	b.visit("/connectors/results")
	b.do("Apply", chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS(".banner.good")))
	d.until("the file is there", func() bool { return d.read("copied/a.csv") == "alpha" })
	b.shoot("applied")
}

// Eight tabs of one browser all hear of what happens: browsers open six connections to a
// host.
func TestEightTabs(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	d := newDaemon(t, results(server.Endpoint, ""))
	first := d.visit("/")
	tabs := []*tab{first}
	for range 7 {
		tabs = append(tabs, first.another())
	}
	for _, b := range tabs[1:] {
		b.visit("/")
	}
	put(t, server.Root, "a.csv", "alpha")
	last := tabs[len(tabs)-1]
	last.visit("/connectors/results")
	last.follow("button.primary")
	for _, b := range tabs[:len(tabs)-1] {
		b.shows("Connection Valid", "1 file, 5 B")
	}
	first.shoot("first")
}

// Credentials are fetched on the page, and a client uploads with them.
func TestCredentials(t *testing.T) {
	d := newDaemon(t, `space_server: {listen: "127.0.0.1:0"}
spaces:
  us_sp_123: {destination_directory_path: ./imported}
`)
	b := d.visit("/spaces/us_sp_123")
	b.shows("The inbox is empty")
	b.shoot("space")
	b.follow(".status .actions button")
	b.shows("Save your credentials to a secure location")
	line := eval[string](b, `[...document.querySelectorAll("code.copy")].map(c => c.textContent).find(t => t.startsWith("sftp "))`)
	password := eval[string](b, `document.querySelectorAll("code.copy")[1].textContent`)
	if len(password) < 16 || !strings.Contains(line, "us_sp_123@") {
		t.Fatalf("%q with a password of %d characters", line, len(password))
	}
	b.click("code.copy + button")
	b.shoot("credentials")
	d.upload(line, password, "day.csv")
	b.visit("/spaces/us_sp_123")
	b.shows("day.csv", "delivered")
	if strings.Contains(b.text(), password) {
		t.Error("the password is shown again")
	}
	b.shoot("imported")
	b.follow(`form[action$="/revoke"] button`)
	b.shows("Revoked", "No password works")
}

// A connector is added and removed with a browser alone: from nothing to copied files.
func TestFromNothingToCopiedFiles(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "alpha")
	d := newDaemon(t, "# nothing yet\n")
	b := d.visit("/")
	b.mayHear("422")
	b.shows("No connectors yet")
	b.shoot("nothing")
	b.follow("main a.button")
	b.write("#n-name", "results")
	b.write("#f-sftp-host", server.Host)
	b.write("#f-sftp-port", fmt.Sprint(server.Port))
	b.write("#f-sftp-username", server.User)
	eval[bool](b, `document.querySelector("#f-sftp-authentication").value = "key-pairs", true`)
	b.write("#f-sftp-key-pairs-path", server.PrivateKeyPath)
	b.write("#f-files-source-directory-path", server.Root)
	b.write("#f-files-destination-directory-path", "./copied")
	b.shoot("typed")
	b.follow("button.primary")
	b.shows("Add results", "key_pairs_path: ", "Add it")
	b.shoot("review")
	b.follow(".buttons button.primary")
	b.shows("Host Key Unknown", "Save it anyway")
	b.follow(`button[name="force"]`)
	b.shows("The connector was added")
	b.visit("/connectors/results/host-key")
	b.follow("main form button.primary")
	b.shows("The host key is trusted now")
	b.follow("button.primary")
	b.shows("Connection Valid")
	d.until("the file is there", func() bool { return d.read("copied/a.csv") == "alpha" })
	b.shows("1 file, 5 B")
	b.shoot("copied")
	b.visit("/connectors/results/remove")
	b.follow("button.danger")
	b.shows("The connector was removed", "No connectors yet")
	if _, err := os.Stat(d.path("copied/a.csv")); err != nil {
		t.Error(err)
	}
}

// A connector is paused and resumed, and says so.
func TestPause(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	d := newDaemon(t, results(server.Endpoint, "    automatic_sftp_file_sync: 1s\n"))
	b := d.visit("/connectors/results")
	b.click("#pause summary")
	b.write(`#pause input[name="reason"]`, "the server is being moved")
	b.follow("#pause button")
	b.shows("Paused", "the server is being moved", "Resume")
	b.shoot("paused")
	b.follow(`form[action$="/resume"] button`)
	b.shows("Resumed", "Connection Valid")
	b.visit("/connectors/results/listing")
	b.shows("0 files seen")
	b.visit("/audit")
	b.shows("pause", "resume")
	b.shoot("audit")
}
