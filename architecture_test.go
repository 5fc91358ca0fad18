// Package sftpconnector_test checks which folder may import which, and that no test is
// ever skipped.
package sftpconnector_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sftpconnector/"

// arrow says what a folder may import, and the folders below it that have no
// arrow of their own. How these import each other is their own business.
type arrow struct {
	of []string // folders of this module
	// beyond are the modules of others: nil for any, empty for none but the
	// standard library.
	beyond []string
}

// arrows are what each folder may import, as in the map of docs/design.md: only folders
// that stand before it here, and nothing but cmd imports a store. A new folder has to be
// given its place.
func arrows() map[string]arrow {
	none := []string{}
	types := []string{"status", "sync"}
	stores := append([]string{"durable", "store/pending"}, types...)
	running := []string{"config", "connector", "interapp", "status", "sync", "sync/ledger"}
	return map[string]arrow{
		"backoff":            {nil, none},
		"interapp":           {nil, none},
		"status":             {[]string{"interapp"}, none},
		"share":              {nil, none},
		"charset":            {nil, []string{"golang.org/x/text"}},
		"durable":            {nil, []string{"github.com/gofrs/flock"}},
		"config":             {[]string{"charset", "share"}, nil},
		"config/edit":        {[]string{"config", "durable"}, nil},
		"sshclient":          {[]string{"durable", "status"}, nil},
		"sync":               {[]string{"interapp", "status"}, []string{"golang.org/x/text", "github.com/bmatcuk/doublestar/v4"}},
		"sync/plan":          {types, none},
		"sync/transfer":      {append([]string{"backoff", "sync/plan"}, types...), []string{"golang.org/x/sync", "golang.org/x/time"}},
		"sync/pass":          {append([]string{"sync/plan", "sync/transfer"}, types...), []string{"golang.org/x/sync"}},
		"sync/ledger":        {append([]string{"durable", "interapp"}, types...), nil},
		"store":              {nil, none},
		"store/pending":      {nil, none},
		"store/local":        {stores, nil},
		"store/sftp":         {append([]string{"backoff", "charset", "sshclient"}, stores...), nil},
		"store/smb":          {append([]string{"share"}, stores...), nil},
		"credentialsapi":     {[]string{"status"}, nil},
		"connector":          {[]string{"backoff", "config", "credentialsapi", "interapp", "status", "sync", "sync/ledger", "sync/pass"}, nil},
		"space/credentials":  {[]string{"interapp"}, nil},
		"space/spool":        {append([]string{"durable", "interapp", "sync/ledger"}, types...), nil},
		"space/authdelay":    {[]string{"backoff"}, none},
		"space/sshd":         {[]string{"backoff", "durable", "status", "space/authdelay"}, nil},
		"space":              {append(running, "backoff", "durable", "space/credentials", "space/spool", "space/sshd"), nil},
		"interapp/notify":    {[]string{"backoff", "interapp", "sync/ledger"}, none},
		"interapp/dataminer": {[]string{"interapp"}, none},
		"interapp/requests":  {append(running, "backoff", "interapp/notify"), nil},
		"interapp/server":    {append(running, "config/edit", "interapp/dataminer", "interapp/notify", "interapp/requests", "space", "space/credentials", "space/authdelay", "space/spool", "space/sshd"), nil},
		"web":                {[]string{"interapp"}, none},
		"cmd/sftp-connector": {append(running, "backoff", "config/edit", "interapp/requests", "interapp/server", "web",
			"charset", "durable", "sshclient", "store/local", "store/pending", "store/sftp", "store/smb", "space", "space/sshd"), nil},

		// For tests, measurements and readers.
		"docs/examples/getfiles": {[]string{"interapp"}, none},
		"web/webtest":            {[]string{"interapp"}, none},
		"store/storetest":        {types, nil},
		"store/sftp/sftptest":    {nil, nil},
		"store/smb/smbtest":      {nil, nil},
		"bench":                  {[]string{"store/sftp/sftptest/relay"}, nil},
		"scripts/testreport":     {nil, none},

		// The fault suite knows the product from outside only.
		"faults/schedule":  {nil, none},
		"faults/model":     {[]string{"faults/schedule"}, none},
		"faults/mutations": {nil, none},
		"faults/operator":  {nil, nil},
		"faults/tcpport":   {nil, []string{"golang.org/x/sys"}},
		"faults/powerfs":   {nil, []string{"github.com/hanwen/go-fuse/v2"}},
		"faults/product":   {nil, none},
		"faults/relay":     {[]string{"faults/tcpport"}, none},
		"faults/sftpd":     {[]string{"faults/tcpport"}, []string{"golang.org/x/crypto", "golang.org/x/sys"}},
		"faults/world":     {[]string{"faults/model", "faults/tcpport", "faults/powerfs", "faults/product", "faults/relay", "faults/schedule", "faults/sftpd"}, nil},
		"faults":           {[]string{"faults/product", "faults/schedule", "faults/world"}, none},
	}
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	plan := arrows()
	seen := map[string]bool{}
	for file, parsed := range goFiles(t, false) {
		if strings.HasSuffix(file, "_test.go") {
			continue // a test may use what it likes
		}
		folder, ok := planned(plan, path.Dir(file))
		if !ok {
			t.Errorf("%s: the folder has no place in the plan; give it one in arrows", file)
			continue
		}
		seen[folder] = true
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			own, ours := strings.CutPrefix(imported, module)
			if to, _ := planned(plan, own); ours && to == folder {
				continue
			}
			if why := plan[folder].forbids(own, ours); why != "" {
				t.Errorf("%s imports %s: %s", file, imported, why)
			}
		}
	}
	for folder := range plan {
		if !seen[folder] {
			t.Errorf("the plan has %s, which holds no Go file", folder)
		}
	}
}

// planned gives the folder of the plan that dir is, or is below.
func planned(plan map[string]arrow, dir string) (string, bool) {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := plan[dir]; ok {
			return dir, true
		}
	}
	return "", false
}

// forbids says why the import is wrong, or "". ours says that it is a folder of
// this module, else it is the path of a package.
func (a arrow) forbids(imported string, ours bool) string {
	if ours {
		if slices.Contains(a.of, imported) {
			return ""
		}
		return "only " + listed(a.of) + " of this module may be imported there"
	}
	first, _, _ := strings.Cut(imported, "/")
	inModule := func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") }
	if !strings.Contains(first, ".") || a.beyond == nil || slices.ContainsFunc(a.beyond, inModule) {
		return ""
	}
	return "only " + listed(a.beyond) + " of others may be imported there"
}

func listed(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// A test that could be skipped would be one day, where it matters. Those whose server is
// not installed are left out on a developer's machine; scripts/testreport counts each as
// failed.
func TestNoTestIsSkipped(t *testing.T) {
	t.Parallel()
	mayLeaveOut := []string{"store/sftp/sftptest/daemon.go", "store/smb/smbtest/smbtest.go"}
	for file, parsed := range goFiles(t, true) {
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if called, ok := call.Fun.(*ast.SelectorExpr); ok {
				switch called.Sel.Name {
				case "Skip", "Skipf", "SkipNow":
					if slices.Contains(mayLeaveOut, file) {
						return true
					}
					t.Errorf("%s calls %s", file, called.Sel.Name)
				}
			}
			return true
		})
	}
	for _, dir := range []string{"scripts", ".ci"} {
		scripts, err := filepath.Glob(dir + "/*")
		if err != nil || len(scripts) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		for _, script := range append(scripts, "Makefile") {
			text, err := os.ReadFile(script)
			if err == nil && slices.ContainsFunc(strings.Fields(string(text)), func(word string) bool {
				return word == "-skip" || strings.HasPrefix(word, "-skip=") || word == "-short"
			}) {
				t.Errorf("%s leaves tests out", script)
			}
		}
	}
}

// goFiles parses the Go files of the module: with their bodies, or just their
// imports. The keys are slash paths.
func goFiles(t *testing.T, bodies bool) map[string]*ast.File {
	t.Helper()
	mode := parser.SkipObjectResolution
	if !bodies {
		mode |= parser.ImportsOnly
	}
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		files[filepath.ToSlash(name)], err = parser.ParseFile(token.NewFileSet(), name, nil, mode)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("only %d Go files found: is this the top of the module?", len(files))
	}
	return files
}
