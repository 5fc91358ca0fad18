package storetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	filesync "sftpconnector/sync"
)

// spellings are names that some servers take for one file and others for two:
// each has a table of its own.
func spellings() [][2]string {
	return [][2]string{
		{"ΟΔΟΣ", "οδος"}, {"οδοσ", "οδος"}, // the sigma at the end of a word
		{"10µm", "10μm"}, {"\u212aelvin", "kelvin"}, {"\u212b", "\u00e5"}, // signs, and their letters
		{"ſee", "see"}, {"ıI", "II"}, {"İi", "ii"}, {"ß", "ẞ"}, {"ǅ", "ǆ"}, {"Ș", "ș"}, {"θ", "ϑ"}, {"β", "ϐ"},
	}
}

// foldsAlike: whatever the server takes for one name, of two files neither
// replaces the other, whether they come one after the other or side by side;
// and what stands under one is not said to stand under the other if it does not.
func (d *destination) foldsAlike() {
	var batch []filesync.Publication
	var names []string
	for i, pair := range spellings() {
		for _, spelling := range pair {
			for n := range 4 {
				name := fmt.Sprintf("p%d/%s%d", i, spelling, n)
				p := d.write(name, name)
				d.must(d.dst.Sync(d.Context(), []filesync.Pending{p})[0])
				batch, names = append(batch, filesync.Publication{Pending: p}), append(names, name)
			}
		}
	}
	stats, err := d.dst.Stat(d.Context(), names)
	d.must(err)
	for i, k := range stats {
		if !errors.Is(k.Err, fs.ErrNotExist) {
			d.Errorf("%s before it is there: %+v", names[i], k)
		}
	}
	for i, err := range d.dst.Publish(d.Context(), batch) {
		if err == nil {
			d.want(names[i], names[i])
			continue
		}
		d.wantConflict(err)
		d.must(batch[i].Pending.Abort(d.Context()))
	}
	for i, pair := range spellings() {
		first, second := fmt.Sprintf("q%d/%s", i, pair[0]), fmt.Sprintf("q%d/%s", i, pair[1])
		d.deliver(first, first)
		others := []string{second, second + "1", second + "2", second + "3"} // enough for a listing
		stats, err := d.dst.Stat(d.Context(), others)
		d.must(err)
		p := d.write(second, second)
		err = d.publish(p, nil)
		if stands := stats[0].Err == nil; stands != (err != nil) {
			d.Errorf("%s beside %s is said to stand: %v; publishing it: %v", second, first, stands, err)
		}
		if err != nil {
			d.wantConflict(err)
			d.must(p.Abort(d.Context()))
		} else {
			d.want(second, second)
		}
		d.want(first, first)
	}
	for i := range spellings() {
		d.must(os.RemoveAll(d.path(fmt.Sprintf("p%d", i))))
		d.must(os.RemoveAll(d.path(fmt.Sprintf("q%d", i))))
	}
}
