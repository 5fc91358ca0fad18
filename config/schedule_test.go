package config

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"
)

func TestParseSchedule(t *testing.T) {
	for text, want := range map[string]Schedule{
		"N/A":                   {Text: "N/A"},
		"n/a":                   {Text: "N/A"},
		"15m":                   {Text: "15m", Interval: 15 * time.Minute},
		" 1s ":                  {Text: "1s", Interval: time.Second},
		"366d":                  {Text: "366d", Interval: 366 * day},
		"*/15 6-22 * * 1-5":     {Text: "*/15 6-22 * * 1-5", Cron: "*/15 6-22 * * 1-5"},
		"0 0 29 2 *":            {Text: "0 0 29 2 *", Cron: "0 0 29 2 *"},
		"0 0 30 2 1":            {Text: "0 0 30 2 1", Cron: "0 0 30 2 1"}, // on Mondays of February
		"0 8,20 1-15/2 jan ?":   {Text: "0 8,20 1-15/2 jan ?", Cron: "0 8,20 1-15/2 jan ?"},
		"*/59 */23 * * sun-fri": {Text: "*/59 */23 * * sun-fri", Cron: "*/59 */23 * * sun-fri"},
		"59/1 5-5/1 * * *":      {Text: "59/1 5-5/1 * * *", Cron: "59/1 5-5/1 * * *"},
		"@hourly":               {Text: "@hourly", Cron: "@hourly"},
		"@annually":             {Text: "@annually", Cron: "@annually"},
	} {
		got, err := ParseSchedule(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if got.NA() != (want.Cron == "" && want.Interval == 0) {
			t.Errorf("%q: NA is %v", text, got.NA())
		}
		if got.Cron != "" {
			if _, err := cron.ParseStandard(got.Cron); err != nil {
				t.Errorf("%q: the daemon could not run it: %v", text, err)
			}
		}
		if again, err := ParseSchedule(got.String()); err != nil || again != got {
			t.Errorf("%q: read back as %+v, %v", text, again, err)
		}
	}
	if !(Schedule{}).NA() || (Schedule{Interval: time.Minute}).String() != "1m" || (Schedule{Cron: "@daily"}).String() != "@daily" {
		t.Error("a schedule without text")
	}
}

// TestSchedulesFire: no accepted expression panics, or leaves the daemon waiting for ever.
func TestSchedulesFire(t *testing.T) {
	field := rapid.OneOf(
		rapid.StringMatching(`[0-9*?]{1,2}(-[0-9]{1,2})?(/[0-9]{1,2})?(,[0-9]{1,2})?`),
		rapid.SampledFrom([]string{"*", "*", "0", "5"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "", "", "TZ=", "TZ=0 ", "@every ", "@"}).Draw(t, "prefix")
		for range 5 {
			text += field.Draw(t, "field") + " "
		}
		got, err := ParseSchedule(text)
		if err != nil || got.Cron == "" {
			return
		}
		schedule, err := cron.ParseStandard(got.Cron)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if schedule.Next(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
			t.Fatalf("%q never fires", text)
		}
	})
}

func TestFixedTime(t *testing.T) {
	for text, want := range map[string]bool{
		"30 2 * * *": true, "0,30 2-4 * * 1-5": true, "0 0 */2 * *": true, "@daily": true, "@midnight": true, "@weekly": true, "@yearly": true,
		"*/15 6-22 * * *": false, "0 * * * *": false, "0 */2 * * *": false, "0 6-22/2 * * *": false, "0-59/5 2 * * *": false,
		"? 2 * * *": false, "5,*/20 2 * * *": false, "@hourly": false, "15m": false, "N/A": false,
	} {
		s, err := ParseSchedule(text)
		if err != nil || s.FixedTime() != want {
			t.Errorf("%s: %v, %v", text, s.FixedTime(), err)
		}
	}
}
