package browser_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"sftpconnector/store/sftp/sftptest"
)

// patience is how long a condition may take on a slow, busy machine.
const patience = time.Minute

// tab is one tab of a browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	host string // the only one that it may ask

	mu       sync.Mutex
	said     []string // on the console: errors and warnings
	strayed  []string // addresses of other hosts
	loaded   int      // documents
	expected []string // parts of what the console may say
}

// open starts a browser with one tab, for the pages at base.
func open(t *testing.T, base string) *tab {
	t.Helper()
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(sftptest.Chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience), chromedp.WindowSize(1280, 900))
	root, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(root)
	t.Cleanup(func() {
		stop, done := context.WithTimeout(ctx, 20*time.Second)
		_ = chromedp.Cancel(stop)
		done()
		cancel()
		end()
		_ = os.RemoveAll(profile) // what a late process of the browser writes is in the temporary directory
	})
	return attach(t, ctx, base)
}

// another opens a second tab in the browser of a tab.
func (b *tab) another() *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	return attach(b.t, ctx, "http://"+b.host)
}

func attach(t *testing.T, ctx context.Context, base string) *tab {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, ctx: ctx, host: u.Host}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		func() error { _, err := chromedp.Call(ctx, runtime.Enable, cdp.Empty{}); return err },
	} {
		if err := enable(); err != nil {
			t.Fatal(err)
		}
	}
	b.size(1280, 900)
	t.Cleanup(b.clean)
	return b
}

// hear keeps what a page says and asks for.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, "exception: "+e.ExceptionDetails.Text+" "+e.ExceptionDetails.URL)
		if x := e.ExceptionDetails.Exception; x != nil {
			b.said = append(b.said, x.Description)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			text, _ := json.Marshal(e.Args)
			b.said = append(b.said, string(text))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.said = append(b.said, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != b.host && u.Scheme != "data" && u.Scheme != "about" {
			b.strayed = append(b.strayed, e.Request.URL)
		}
		if e.Type == network.ResourceTypeDocument {
			b.loaded++
		}
	}
}

// mayHear lets the console say something, such as that a daemon which was stopped does not
// answer.
func (b *tab) mayHear(parts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, parts...)
}

// clean checks that the page had nothing to complain about, and asked nobody else.
func (b *tab) clean() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.said {
		known := false
		for _, part := range b.expected {
			known = known || strings.Contains(said, part)
		}
		if !known {
			b.t.Errorf("the console says: %s", said)
		}
	}
	for _, u := range b.strayed {
		b.t.Errorf("the page asked another host: %s", u)
	}
}

// documents is how many documents were loaded so far.
func (b *tab) documents() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.loaded
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shoot("broken")
		b.t.Fatalf("%s: %v", what, err)
	}
}

// visit opens a page.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do("open "+path, chromedp.Navigate("http://"+b.host+path))
}

// click presses what a CSS selector finds, once it can be seen. The page may be laid over
// at any moment: it is looked for and pressed in one go, and not by where it stands.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.until("click "+selector, func() bool {
		return eval[bool](b, fmt.Sprintf(`(() => {
			const e = document.querySelector(%q);
			if (!e || !e.checkVisibility() || e.disabled) return false;
			setTimeout(() => e.click()); // when this has been answered
			return true;
		})()`, selector))
	})
}

// follow presses what leads to another document, and waits until that is there.
func (b *tab) follow(selector string) {
	b.t.Helper()
	before := b.documents()
	b.click(selector)
	b.until("a document comes after "+selector, func() bool {
		return b.documents() > before && eval[string](b, `document.readyState`) == "complete"
	})
}

// write types into a field, over what is in it.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.until("type into "+selector, func() bool {
		return eval[bool](b, fmt.Sprintf(`(() => {
			const e = document.querySelector(%q);
			if (!e || !e.checkVisibility()) return false;
			e.focus();
			e.select();
			return document.activeElement === e;
		})()`, selector))
	})
	b.do("type into "+selector, chromedp.KeyEvent(text))
}

// eval gives the value of an expression; the zero value while a document is loaded.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil && ctx.Err() != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text is what a reader sees of the page.
func (b *tab) text() string { return eval[string](b, `document.body ? document.body.innerText : ""`) }

// until waits for a condition.
func (b *tab) until(what string, is func() bool) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			b.shoot("broken")
			b.t.Fatalf("waited in vain until %s; the page says:\n%s", what, b.text())
		}
	}
}

// shows waits until the page has the texts.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until(fmt.Sprintf("the page shows %q", text), func() bool { return strings.Contains(b.text(), text) })
	}
}

// size sets the size of the window.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do("set the size", chromedp.EmulateViewport(width, height))
}

// scheme has the system prefer light or dark.
func (b *tab) scheme(is string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: is}}}); err != nil {
		b.t.Fatal(err)
	}
}

// shoot leaves a picture of the whole page.
func (b *tab) shoot(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), picture, 0o644); err != nil {
		b.t.Error(err)
	}
}

// axeChecksum is that of the file in axe-core 4.14.1 on npm.
const axeChecksum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

// axe reads axe-core.
func axe(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/axe.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != axeChecksum {
		t.Fatal("axe-core is not as it was published")
	}
	return string(text)
}

// accessible has axe-core look at the page as it is: as it is wide and coloured.
func (b *tab) accessible(script, what string) {
	b.t.Helper()
	if !eval[bool](b, `typeof axe === "object"`) {
		eval[bool](b, script+"; true")
	}
	found := eval[struct {
		Passes     int
		Violations []string
	}](b, `axe.run(document, {resultTypes: ["violations", "passes"]}).then(r => ({Passes: r.passes.length, Violations: r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html + " " + (n.any[0]?.message ?? n.all[0]?.message ?? n.none[0]?.message ?? "")).join(" | "))}))`)
	if found.Passes < 10 {
		b.t.Errorf("%s: axe-core looked at %d things only", what, found.Passes)
	}
	for _, violation := range found.Violations {
		b.t.Errorf("%s: %s", what, violation)
	}
}

// sideways checks that nobody has to scroll sideways to read.
func (b *tab) sideways(what string) {
	b.t.Helper()
	if wide := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		b.t.Errorf("%s is %d pixels wider than the window: %v", what, wide, eval[[]string](b, `[...document.querySelectorAll("main *, header *, footer *")].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest("pre, .unseen")).slice(0, 5).map(e => e.outerHTML.slice(0, 120))`))
	}
}

// press presses a key.
func (b *tab) press(key string) {
	b.t.Helper()
	b.do("press a key", chromedp.KeyEvent(key))
}
