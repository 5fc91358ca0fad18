package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// Files of every kind arrive as they were sent, and directories stay.
func TestUploadsArrive(t *testing.T) {
	t.Parallel()
	k := newDock(t, "", spaces{"us_sp_123": ""})
	c := k.login("us_sp_123")
	deep := strings.Repeat("d/", 40)
	if err := c.MkdirAll(deep); err != nil {
		t.Fatal(err)
	}
	if err := c.MkdirAll("Größe 10 %"); err != nil {
		t.Fatal(err)
	}
	files := []string{
		"empty.csv", "", "two words.csv", "1,2\r\n", "Größe 10 %/日本 'quoted' \"é\".csv", "x", deep + "leaf", "y",
		"-rf", "a name like an option", "large.bin", strings.Repeat("0123456789abcdef", 1<<16),
	}
	k.mustUpload(c, files...)
	then := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := c.Chtimes("empty.csv", then, then); err != nil {
		t.Fatal(err)
	}
	k.imports("us_sp_123", files...)
	if info, err := os.Stat(k.path("us_sp_123/empty.csv")); err != nil || !info.ModTime().Equal(then) {
		t.Errorf("the time that the client set: %v, %v", info, err)
	}
	// What was imported is not there any more for its client, who may still set its times.
	if left, err := c.ReadDir("/"); err != nil || len(left) != 2 {
		t.Errorf("the client still sees %v, %v", left, err)
	}
	if err := c.Chtimes("two words.csv", then, then); err != nil {
		t.Errorf("times after the import: %v", err)
	}
	if _, err := c.Open("two words.csv"); !os.IsNotExist(err) {
		t.Errorf("open after the import: %v", err)
	}
}

// What a second upload of a name does to the file of the first.
func TestUploadsOfTheSameName(t *testing.T) {
	t.Parallel()
	k := newDock(t, "", spaces{"replacing": "same_name: replace", "keeping": "same_name: keep-both"})
	for id, want := range map[string][]string{
		"replacing": {"a.csv", "third"},
		"keeping":   {"a.csv", "first", "a (2).csv", "again", "a (3).csv", "third"},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			k := k.under(t)
			c := k.login(id)
			at := time.Now().Truncate(time.Second)
			put := func(content string) {
				k.mustUpload(c, "a.csv", content)
				if err := c.Chtimes("a.csv", at, at); err != nil { // size and time tell nothing
					t.Fatal(err)
				}
			}
			put("first")
			k.imports(id, "a.csv", "first")
			put("again")
			if id == "replacing" {
				k.imports(id, "a.csv", "again")
			} else {
				k.imports(id, want[:4]...)
			}
			put("third")
			k.imports(id, want...)
		})
	}
}

// A file that is uploaded again before it was imported, renamed or removed.
func TestUploadsThatChangeBeforeTheImport(t *testing.T) {
	t.Parallel()
	k := newDock(t, "", spaces{"us_sp_123": ""})
	c := k.login("us_sp_123")
	k.mustUpload(c, "removed.csv", "x", "replaced.csv", "older", "data.csv.filepart", "whole", "kept.tmp", "not yet", "first.csv", "1", ".~lock", "x")
	if err := c.Remove("removed.csv"); err != nil {
		t.Fatal(err)
	}
	k.mustUpload(c, "replaced.csv", "newer")
	k.imported("us_sp_123", map[string]string{"replaced.csv": "newer", "first.csv": "1"})
	if err := c.Rename("data.csv.filepart", "data.csv"); err != nil {
		t.Fatal(err)
	}
	k.imported("us_sp_123", map[string]string{"replaced.csv": "newer", "first.csv": "1", "data.csv": "whole"})
	if err := c.Remove("kept.tmp"); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(".~lock"); err != nil {
		t.Fatal(err)
	}
	k.imports("us_sp_123", "replaced.csv", "newer", "first.csv", "1", "data.csv", "whole")
}

// What is too much is refused with words that say so, leaves nothing behind,
// and does no harm to what comes next.
func TestUploadsOverTheLimits(t *testing.T) {
	t.Parallel()
	k := newDock(t, "maximum_file_size: 1MB, inbox_quota: 2500kB", spaces{"us_sp_123": "", "roomy": "maximum_file_size: 3MB, inbox_quota: 5MB"})
	c := k.login("us_sp_123")
	big := strings.Repeat("x", 1_000_001)
	wants(t, "a file that is too large", upload(c, "big.tmp", big), "larger than the 1.0 MB that this Space accepts")
	if _, err := c.Stat("big.tmp"); !os.IsNotExist(err) {
		t.Errorf("its remains: %v", err)
	}
	k.until("nothing of it is on the disk", func() bool { return len(k.objects("us_sp_123")) == 0 })
	if err := upload(k.login("roomy"), "big", big); err != nil {
		t.Errorf("the limit of another Space: %v", err)
	}
	full := big[:1_000_000]
	k.mustUpload(c, "1.tmp", full, "2.tmp", full)
	wants(t, "a full inbox", upload(c, "3.tmp", full), "the inbox of this Space is full: it holds 2.5 MB")
	if err := c.Remove("1.tmp"); err != nil {
		t.Fatal(err)
	}
	k.mustUpload(c, "3.csv", full)
	if err := c.Rename("2.tmp", "2.csv"); err != nil {
		t.Fatal(err)
	}
	k.imports("us_sp_123", "2.csv", full, "3.csv", full)
	k.imports("roomy", "big", big)
}
