// Package deploy_test checks what stands beside it, with Prometheus's own tool and
// against what a daemon really answers.
package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"sftpconnector/status"
)

const (
	rulesFile     = "prometheus-alerts.yaml"
	rulesTest     = "prometheus-alerts.test.yaml"
	dashboardFile = "grafana-dashboard.json"
)

// promtool runs Prometheus's tool, and fails the test if it finds anything.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "promtool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v (scripts/install-test-tools installs it)\n%.4000s", strings.Join(args, " "), err, out)
	}
}

// alert is one rule of the file.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	text, err := os.ReadFile(rulesFile)
	if err == nil {
		err = yaml.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

func TestAlerts(t *testing.T) {
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", rulesTest)
	cases, err := os.ReadFile(rulesTest)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		for _, name := range []string{"summary", "description", "hint"} {
			if a.Annotations[name] == "" {
				t.Errorf("%s has no %s", a.Alert, name)
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s has the severity %q", a.Alert, a.Labels["severity"])
		}
		if fires := regexp.MustCompile(`ALERTS\{alertname="` + a.Alert + `",alertstate="firing",severity=`); !fires.Match(cases) {
			t.Errorf("%s fires in no case of %s", a.Alert, rulesTest)
		}
	}
}

// panel is one of the dashboard.
type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr       string
		RefID      string `json:"refId"`
		Datasource struct{ UID string }
	}
}

type dashboard struct {
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type, Definition string
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are those of the dashboard as Prometheus gets them, by panel.
func (d dashboard) queries() map[string]string {
	filled := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1d", "$job", ".*", "$instance", ".*", "$connector", ".*", "$space", ".*")
	all := map[string]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = filled.Replace(target.Expr)
		}
	}
	inVariable := regexp.MustCompile(`^label_values\((.+), \w+\)$`)
	for _, v := range d.Templating.List {
		if m := inVariable.FindStringSubmatch(v.Definition); m != nil {
			all["variable "+v.Name] = filled.Replace(m[1])
		}
	}
	return all
}

func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if want := []string{"datasource", "job", "instance", "connector", "space"}; !slices.Equal(names, want) {
		t.Errorf("the variables are %q, want %q", names, want)
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("%s stands at %+v of 24 columns", p.Title, p.GridPos)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%s has a data source of its own: %q", p.Title, target.Datasource.UID)
			}
		}
	}
	// promtool of Debian checks expressions in rules only.
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, expr := range d.queries() {
		if strings.Contains(expr, "$") {
			t.Errorf("a variable is left in %s", expr)
		}
		rules = append(rules, rule{fmt.Sprintf("panel:%d", len(rules)), expr})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// selector is a metric in an expression, with what is asked of its labels.
var (
	selector = regexp.MustCompile(`\b((?:sftp_connector|process|go)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"([^"]*)"`)
)

// What is asked for is there: metrics, labels and what these can be.
func TestMetricsAreThere(t *testing.T) {
	there := scrape(t)
	asked := readDashboard(t).queries()
	for _, a := range alerts(t) {
		asked[a.Alert] = a.Expr
	}
	found := 0
	for where, expr := range asked {
		for _, m := range selector.FindAllStringSubmatch(expr, -1) {
			found++
			labels, ok := there[m[1]]
			if !ok {
				t.Errorf("%s: /metrics has no %s", where, m[1])
				continue
			}
			for _, of := range matcher.FindAllStringSubmatch(m[2], -1) {
				if problem := labels.lacks(of[1], of[2]); problem != "" {
					t.Errorf("%s: %s: %s", where, m[1], problem)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d metrics are asked for: are the expressions read right?", found)
	}
}

// labels are those of a metric, with their values.
type labels map[string]map[string]bool

// lacks says why a matcher can never be right, or "".
func (l labels) lacks(name, pattern string) string {
	if name == "job" || name == "instance" {
		return "" // Prometheus adds them
	}
	values, ok := l[name]
	if !ok {
		return "it has no label " + name
	}
	if slices.Contains([]string{"connector", "space"}, name) {
		return ""
	}
	for v := range strings.SplitSeq(pattern, "|") {
		known := values[v]
		if name == "status" {
			known = slices.Contains(status.Words(), status.Word(v))
		}
		if !known {
			return fmt.Sprintf("%s is never %q", name, v)
		}
	}
	return ""
}
