package web

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"sftpconnector/interapp"
)

// stripLength is how many of the last passes a strip shows.
const stripLength = 30

// mark is one pass in a strip: how it ended, or that it runs.
type mark string

const (
	markCopied    mark = "copied"    // it brought files
	markNothing   mark = "nothing"   // there was nothing to do
	markPartial   mark = "partial"   // files failed
	markFailed    mark = "failed"    // it could not run
	markCancelled mark = "cancelled" // it was ended
	markRunning   mark = "running"
)

// strip is the last passes of a connector, the oldest first.
type strip []mark

// stripOf gives the strip of passes, which come newest first.
func stripOf(passes []interapp.PassMark) strip {
	var s strip
	for _, p := range slices.Backward(passes) {
		s = append(s, markOf(p.State, p.Files))
	}
	return s
}

func markOf(state string, copied int64) mark {
	switch {
	case state == "succeeded" && copied > 0:
		return markCopied
	case state == "succeeded":
		return markNothing
	case state == "queued" || state == "running":
		return markRunning
	}
	return mark(state)
}

// marks says what marks there are, in the order in which they are told of.
func marks() []mark {
	return []mark{markCopied, markNothing, markPartial, markFailed, markCancelled, markRunning}
}

// shape is the outline of a mark in a box of 8 by 16 at x: each is another one, so that
// nobody has to tell colours apart.
func (m mark) shape(x int) string {
	switch m {
	case markCopied: // a bar
		return fmt.Sprintf("M%d 2h5v12h-5z", x+1)
	case markNothing: // a low bar
		return fmt.Sprintf("M%d 10h5v4h-5z", x+1)
	case markPartial: // a triangle
		return fmt.Sprintf("M%d 3l3.5 11h-7z", x+4)
	case markFailed: // a cross
		return fmt.Sprintf("M%d 3l2.5 3.5 2.5-3.5 1 1-2.6 4 2.6 4.5-1 1-2.5-3.9-2.5 3.9-1-1 2.6-4.5-2.6-4z", x+1)
	case markCancelled: // a hollow box
		return fmt.Sprintf("M%d 6h5v8h-5zM%d 7.2v5.6h2.6v-5.6z", x+1, x+2)
	}
	return fmt.Sprintf("M%d 3l6 5.5-6 5.5z", x+1) // running: an arrow
}

// text says what a strip shows.
func (s strip) text() string {
	number := map[mark]int{}
	for _, m := range s {
		number[m]++
	}
	var parts []string
	for _, m := range marks() {
		if n := number[m]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, m.words()))
		}
	}
	return "The last passes: " + strings.Join(parts, ", ")
}

func (m mark) words() string {
	switch m {
	case markCopied:
		return "copied files"
	case markNothing:
		return "had nothing to do"
	case markCancelled:
		return "ended early"
	}
	return string(m)
}

// SVG draws the strip: a path for each kind of mark.
func (s strip) SVG() template.HTML {
	if len(s) == 0 {
		return ""
	}
	s = s[max(0, len(s)-stripLength):]
	paths := map[mark]string{}
	for i, m := range s {
		paths[m] += m.shape(8 * i)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="strip" viewBox="0 0 %d 16" width="%d" height="16" role="img" aria-label="%s">`, 8*len(s), 8*len(s), template.HTMLEscapeString(s.text()))
	for _, m := range marks() {
		if paths[m] != "" {
			fmt.Fprintf(&b, `<path class="m-%s" fill-rule="evenodd" d="%s"/>`, m, paths[m])
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // of our own words and of numbers
}

// Size of a chart's drawing, in its own units.
const (
	chartWidth  = 320
	chartHeight = 72
)

// chart is one figure of the last passes, the oldest first.
type chart struct {
	Title  string
	Most   string // the greatest value, in words
	Latest string
	Sum    string
	points []point
}

type point struct {
	value float64
	text  string // of the value
	when  time.Time
	bad   bool
}

// chartsOf draws passes, which come newest first.
func chartsOf(passes []interapp.Pass) []chart {
	figures := []struct {
		title string
		value func(interapp.Pass) (float64, string)
		bad   bool
	}{
		{"Files copied", func(p interapp.Pass) (float64, string) { return float64(p.Files.Copied), count(p.Files.Copied) }, false},
		{"Bytes copied", func(p interapp.Pass) (float64, string) { return float64(p.Files.Bytes), size(p.Files.Bytes) }, false},
		{"Duration", func(p interapp.Pass) (float64, string) {
			if p.Finished == nil {
				return 0, "runs"
			}
			return p.Finished.Sub(p.Started).Seconds(), took(p.Started, p.Finished)
		}, false},
		{"Failures", func(p interapp.Pass) (float64, string) {
			n := p.Files.Failed + p.Files.Conflict
			if p.State == "failed" {
				n = max(n, 1)
			}
			return float64(n), count(n)
		}, true},
	}
	var out []chart
	for _, f := range figures {
		c := chart{Title: f.title}
		most := -1.0
		for i := len(passes) - 1; i >= 0; i-- {
			p := passes[i]
			v, text := f.value(p)
			c.points = append(c.points, point{v, text, p.Started, f.bad})
			c.Latest = text
			if v > most {
				most, c.Most = v, text
			}
		}
		out = append(out, c)
	}
	return out
}

// SVG draws the chart: a bar for each pass.
func (c chart) SVG() template.HTML {
	most := 0.0
	for _, p := range c.points {
		most = max(most, p.value)
	}
	var b strings.Builder
	label := fmt.Sprintf("%s of the last %d passes: at most %s, the latest %s", c.Title, len(c.points), c.Most, c.Latest)
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s" preserveAspectRatio="none">`, chartWidth, chartHeight, template.HTMLEscapeString(label))
	wide := float64(chartWidth) / float64(max(len(c.points), 20))
	for i, p := range c.points {
		high := 1.0
		if most > 0 && p.value > 0 {
			high = max(3, p.value/most*(chartHeight-4))
		}
		class := "bar"
		if p.bad && p.value > 0 {
			class = "bar bad"
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s UTC: %s</title></rect>`,
			class, float64(i)*wide, chartHeight-high, max(1, wide-1), high, p.when.UTC().Format(stamp), template.HTMLEscapeString(p.text))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // of numbers
}
