package config

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is automatic_sftp_file_sync: never, an interval, or a cron expression.
// At most one of Interval and Cron is set; the zero Schedule is N/A.
type Schedule struct {
	Text     string // as it was written
	Interval time.Duration
	Cron     string // what cron.ParseStandard takes; never with a time zone in it
}

const notApplicable = "N/A"

// The bounds of an interval.
const (
	minInterval = time.Second
	maxInterval = 366 * day
)

// maxCron bounds the text of a cron expression, in bytes.
const maxCron = 256

// ParseSchedule reads N/A, an interval of 1s to 366d, or a cron expression of
// five fields or a descriptor such as @daily. It refuses those that robfig/cron
// takes for something else than what was meant: see checkCron.
func ParseSchedule(text string) (Schedule, error) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, notApplicable) {
		return Schedule{Text: notApplicable}, nil
	}
	if strings.ContainsAny(text, " \t*@=") {
		if err := checkCron(text); err != nil {
			return Schedule{}, err
		}
		return Schedule{Text: text, Cron: text}, nil
	}
	interval, err := ParseDuration(text)
	if err != nil {
		return Schedule{}, errors.New(`not a schedule; allowed: N/A, an interval such as 15m, or a cron expression such as "*/15 6-22 * * 1-5"`)
	}
	if interval.Std() < minInterval || interval.Std() > maxInterval {
		return Schedule{}, errors.New("out of range; allowed: N/A, or an interval of 1s to 366d")
	}
	return Schedule{Text: text, Interval: interval.Std()}, nil
}

// NA reports whether there are no automatic passes.
func (s Schedule) NA() bool { return s.Interval == 0 && s.Cron == "" }

// FixedTime reports whether a cron expression names times of the day: it has
// neither * nor a step in its fields for the minute and the hour, and is not
// @hourly. As with Debian's cron, such a time comes once a day, whatever the
// clock does to it; all other expressions go by elapsed time.
func (s Schedule) FixedTime() bool {
	if strings.HasPrefix(s.Cron, "@") {
		return s.Cron != "@hourly"
	}
	fields := strings.Fields(s.Cron)
	return len(fields) == 5 && !strings.ContainsAny(fields[0]+fields[1], "*?/")
}

// String is the schedule as it was written; ParseSchedule reads it back.
func (s Schedule) String() string {
	switch {
	case s.Text != "":
		return s.Text
	case s.Cron != "":
		return s.Cron
	case s.Interval != 0:
		return Duration(s.Interval).String()
	}
	return notApplicable
}

// MarshalText is String.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSchedule.
func (s *Schedule) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSchedule(string(text))
	return err
}

// cronField is one of the five fields of a cron expression.
type cronField struct{ name, allowed string }

func cronFields() []cronField {
	return []cronField{
		{"minute", "0-59"},
		{"hour", "0-23"},
		{"day of the month", "1-31"},
		{"month", "1-12 or jan-dec"},
		{"day of the week", "0-6 or sun-sat, where 0 is Sunday"},
	}
}

// checkCron parses an expression and refuses what robfig/cron would accept and
// then run at other times than its reader expects, or never.
func checkCron(text string) error {
	const shape = "minute, hour, day of the month, month, day of the week"
	switch {
	case len(text) > maxCron:
		return fmt.Errorf("too long; allowed: a cron expression of at most %d characters", maxCron)
	case strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ="):
		return errors.New("the time zone goes into the key time_zone, not into the expression")
	case strings.HasPrefix(text, "@every"):
		return errors.New("@every is not needed; write the interval itself, for example 15m")
	case strings.HasPrefix(text, "@"):
		if _, err := parseCron(text); err != nil {
			return errors.New("not a known schedule; allowed: @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually")
		}
		return nil
	}
	fields := strings.Fields(text)
	if len(fields) == 6 {
		return fmt.Errorf("has 6 fields, and there is none for seconds here; allowed: 5 fields (%s)", shape)
	}
	if len(fields) != 5 {
		return fmt.Errorf("has %d of the 5 fields of a cron expression; allowed: %s", len(fields), shape)
	}
	for i, field := range fields {
		if err := checkCronField(i, field); err != nil {
			return err
		}
	}
	schedule, err := parseCron(text)
	if err != nil {
		return fmt.Errorf("not a cron expression; allowed: 5 fields (%s)", shape)
	}
	// robfig/cron looks five years ahead; from this start there is a leap day in them.
	if schedule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return errors.New("never comes: no month has that day; allowed: a day that exists")
	}
	return nil
}

// checkCronField checks the field of an expression at index, alone.
func checkCronField(index int, field string) error {
	known := cronFields()[index]
	for part := range strings.SplitSeq(field, ",") {
		alone := []string{"*", "*", "*", "*", "*"}
		alone[index] = part
		schedule, err := parseCron(strings.Join(alone, " "))
		// The parser reads *-5 as *.
		if err != nil || strings.HasPrefix(part, "*-") || strings.HasPrefix(part, "?-") {
			return fmt.Errorf("the field for the %s is not understood; allowed: %s, *, and lists (1,2), rising ranges (1-5) and steps (*/2) of them", known.name, known.allowed)
		}
		_, step, stepped := strings.Cut(part, "/")
		if stepped && strings.TrimLeft(step, "0") != "1" && cronTimes(schedule, index) == 1 {
			return fmt.Errorf("the step in the field for the %s is larger than the range, which leaves one time of it; allowed: a step within %s, or for longer an interval such as 90m", known.name, known.allowed)
		}
	}
	return nil
}

// cronTimes counts the values of a field with a step that a schedule fires at.
// (A plain * would count one more: robfig/cron marks it by a bit.)
func cronTimes(schedule cron.Schedule, index int) int {
	spec, ok := schedule.(*cron.SpecSchedule)
	if !ok {
		return 0
	}
	return bits.OnesCount64([...]uint64{spec.Minute, spec.Hour, spec.Dom, spec.Month, spec.Dow}[index])
}

// parseCron is cron.ParseStandard without its panics (a bare "TZ=0" is one).
func parseCron(text string) (schedule cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("not a cron expression")
		}
	}()
	return cron.ParseStandard(text)
}
