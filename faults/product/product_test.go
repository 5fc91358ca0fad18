package product

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The product's log shows the shifted clock.
func TestWallClockIsShifted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(dir, "clock")
	if err := os.WriteFile(clock, []byte("360000000000000"), 0o644); err != nil { // 100 hours
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--once", "--json", "--log-format", "json")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), ClockVariable+"="+clock)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pass struct{ Started time.Time }
	if err := json.Unmarshal(out, &pass); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if ahead := time.Until(pass.Started); ahead < 99*time.Hour || ahead > 101*time.Hour {
		t.Errorf("the pass began %s ahead: %s", ahead, out)
	}
}
