package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/config/edit"
	"sftpconnector/interapp"
	"sftpconnector/status"
)

type changeInput struct {
	Named
	Body interapp.ConnectorChange
}

type removeInput struct {
	Named
	Version string `query:"version" required:"true" maxLength:"100" doc:"Of the file that it is removed from"`
	DryRun  bool   `query:"dry_run" doc:"Say what would change; write nothing"`
}

func (s configurationRoutes) put(ctx context.Context, in *changeInput) (*answer[interapp.ConnectorChanged], error) {
	return s.change(ctx, changing{name: in.Name, ConnectorChange: in.Body})
}

func (s configurationRoutes) post(ctx context.Context, in *changeInput) (*answer[interapp.ConnectorChanged], error) {
	return s.change(ctx, changing{name: in.Name, ConnectorChange: in.Body, create: true})
}

func (s configurationRoutes) delete(ctx context.Context, in *removeInput) (*answer[interapp.ConnectorChanged], error) {
	return s.change(ctx, changing{name: in.Name, remove: true, ConnectorChange: interapp.ConnectorChange{Version: in.Version, DryRun: in.DryRun}})
}

// changing is a change of the configuration file on its way.
type changing struct {
	interapp.ConnectorChange
	name           string
	create, remove bool

	before, after   *edit.Document
	was, becomes    *config.Connector // nil: there is none
	described, then config.Description
	entered         map[string]bool // the secrets that came with the change
}

// change makes a change, checks it, writes it and has the daemon go over to it: each
// only after the one before.
func (s configurationRoutes) change(ctx context.Context, c changing) (*answer[interapp.ConnectorChanged], error) {
	if c.DryRun {
		noteNothing(ctx)
	}
	file, err := s.file()
	if err != nil {
		return nil, err
	}
	text, version, err := file.Read()
	if err != nil {
		return nil, unreadable(err)
	}
	if c.Version != version {
		return nil, conflict()
	}
	if err := c.prepare(file.Path, text); err != nil {
		return nil, changeProblem(err)
	}
	out := interapp.ConnectorChanged{Connector: c.name, Version: version, Changes: []interapp.DiffLine{}, Settings: c.settingsNow(), Warnings: c.warnings(file.Path)}
	if err := c.diff(&out); err != nil {
		return nil, changeProblem(err)
	}
	if c.Check && c.becomes != nil {
		check, err := s.configuration.Try(ctx, c.becomes, nil)
		if err != nil {
			return nil, err
		}
		if out.Check = &check; ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if check.ConnectionStatus != string(status.ConnectionValid) && !c.Force {
			noteUndone(ctx, "not saved: "+check.ConnectionStatus)
			return &answer[interapp.ConnectorChanged]{out}, nil
		}
	}
	if c.DryRun {
		return &answer[interapp.ConnectorChanged]{out}, nil
	}
	if out.Backup, err = file.Replace(version, c.after.Text()); err != nil {
		return nil, changeProblem(err)
	}
	out.Saved, out.Version = true, edit.VersionOf(c.after.Text())
	noteDetail(ctx, "%s", whatChanged(out.Settings))
	s.log.Info("configuration changed", "connector", c.name, "by", callerOf(ctx).name, "lines", len(out.Changes), "backup", out.Backup)
	reload, err := s.configuration.Reload(ctx)
	if err != nil { // it is saved all the same
		reload.Error = err.Error()
	}
	out.Reload = &reload
	return &answer[interapp.ConnectorChanged]{out}, nil
}

func conflict() error {
	return huma.Error409Conflict("The configuration file is another one than this change was made for: get it again, compare, and send the change with the new version.")
}

// changeProblem is the answer to an error of a change.
func changeProblem(err error) error {
	unwritable := (*edit.Unwritable)(nil)
	switch problem := edit.Problem(err); {
	case errors.Is(err, edit.ErrConflict):
		return conflict()
	case errors.As(err, &unwritable):
		return huma.Error503ServiceUnavailable(err.Error() + "; nothing was changed")
	case problem != "":
		return huma.Error422UnprocessableEntity(problem)
	}
	return err
}

// prepare makes the text after the change, and refuses what may not be.
func (c *changing) prepare(path string, text []byte) error {
	var err error
	if c.described, err = config.Describe(path, text, os.LookupEnv); err != nil {
		return err
	}
	if len(c.described.Mistakes) > 0 {
		return fmt.Errorf("the file has mistakes, which have to be mended first:\n%w", c.described.Mistakes)
	}
	if c.before, err = edit.Parse(text); err != nil {
		return err
	}
	c.was = c.described.Config.Connectors[c.name]
	switch {
	case c.create && c.was != nil:
		return huma.Error409Conflict("There is a connector " + quoteName(c.name) + " already: choose another name, or change that one.")
	case !c.create && c.was == nil:
		return huma.Error404NotFound("The configuration file has no connector " + quoteName(c.name) + ".")
	}
	if err := c.edit(); err != nil {
		return err
	}
	if c.then, err = config.Describe(path, c.after.Text(), os.LookupEnv); err != nil {
		return err
	}
	if len(c.then.Mistakes) > 0 {
		return c.then.Mistakes
	}
	c.becomes = c.then.Config.Connectors[c.name]
	if (c.becomes == nil) != c.remove {
		return &edit.Forbidden{Key: c.name, Why: "the change would not be read as it was meant"}
	}
	if err := c.sameElsewhere(); err != nil {
		return err
	}
	if c.remove {
		return nil
	}
	if err := c.after.Reaches(c.before, c.name); err != nil {
		return err
	}
	return edit.Reenter(c.was, c.becomes, c.entered)
}

// edit makes the text.
func (c *changing) edit() error {
	var err error
	switch {
	case c.remove:
		c.after, err = c.before.RemoveConnector(c.name)
		return err
	case c.YAML != nil && len(c.Set) > 0:
		return huma.Error422UnprocessableEntity("set and yaml: one of the two")
	case c.YAML != nil:
		return c.editText()
	case c.create && len(c.Set) == 0:
		return huma.Error422UnprocessableEntity("A connector needs at least sftp.host, sftp.username, a way to log in such as sftp.password or sftp.key_pairs_path, files.source_directory_path and files.destination_directory_path.")
	}
	return c.editSettings()
}

// editText puts the text of the connector in.
func (c *changing) editText() error {
	typed, err := c.before.SetConnector(c.name, c.before.Uncommented(c.name, *c.YAML))
	if err != nil {
		return invalidText(err)
	}
	c.entered = typed.Entered(c.name)
	c.after, err = typed.Unmasked(c.before, c.name)
	return err
}

// invalidText is an error of YAML for who wrote it.
func invalidText(err error) error {
	if edit.Problem(err) == "" {
		return huma.Error422UnprocessableEntity(err.Error())
	}
	return err
}

// editSettings sets and removes keys: in their order, so that the file comes out the
// same each time.
func (c *changing) editSettings() error {
	c.after, c.entered = c.before, map[string]bool{}
	for _, key := range c.order() {
		path := append([]string{edit.Connectors, c.name}, config.PathOf(key)...)
		kind, known := config.KindOf(path...)
		if !known {
			return &edit.Forbidden{Key: key, Why: "there is no such setting"}
		}
		value := c.Set[key]
		if kind.Secret && value != nil && *value == edit.Redacted {
			continue // as it was shown: it is kept
		}
		var err error
		switch {
		case value == nil:
			if c.after, err = c.without(path); err != nil {
				return err
			}
			continue
		case kind.Secret:
			c.entered[key] = true
			twin := slices.Clone(path)
			twin[len(twin)-1] += "_file" // one of the two
			if c.after, err = c.without(twin); err != nil {
				return err
			}
			c.after, err = c.after.Set(path, edit.Value{Text: edit.Escape(*value)})
		case kind.List:
			c.after, err = c.after.Set(path, listOf(path, *value))
		default:
			c.after, err = c.after.Set(path, edit.Value{Text: *value, Bare: kind.Bare})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// order gives the keys of the change in the order of the documentation, those of
// no documentation last.
func (c *changing) order() []string {
	known := map[string]int{}
	for i, setting := range config.NewConnector() {
		known[setting.Key] = i + 1
	}
	return slices.SortedFunc(maps.Keys(c.Set), func(a, b string) int {
		if d := known[a] - known[b]; d != 0 && known[a] > 0 && known[b] > 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// without removes a key, if it is there.
func (c *changing) without(path []string) (*edit.Document, error) {
	after, err := c.after.Remove(path)
	if errors.Is(err, edit.ErrAbsent) {
		return c.after, nil
	}
	return after, err
}

// listOf makes a list of lines. One host key stands without a list.
func listOf(path []string, text string) edit.Value {
	v := edit.Value{Many: true}
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			v.List = append(v.List, line)
		}
	}
	if len(v.List) == 1 && path[len(path)-1] == "host_key" {
		return edit.Value{Text: v.List[0]}
	}
	return v
}

// sameElsewhere refuses a text that changes more than its connector.
func (c *changing) sameElsewhere() error {
	a, b := c.described.Config, c.then.Config
	for name, other := range a.Connectors {
		if name != c.name && !other.Equal(b.Connectors[name]) {
			return &edit.Forbidden{Key: c.name, Why: "the change would change the connector " + name + ", too: edit the file"}
		}
	}
	others := len(a.Connectors)
	switch {
	case c.create:
		others++
	case c.remove:
		others--
	}
	if others != len(b.Connectors) || a.DataDirectory != b.DataDirectory || !reflect.DeepEqual(a.Server, b.Server) || !a.SpaceServer.Equal(b.SpaceServer) || !reflect.DeepEqual(a.Spaces, b.Spaces) {
		return &edit.Forbidden{Key: c.name, Why: "the change would change more than this connector: edit the file"}
	}
	return nil
}

// settingsNow are the settings before and after the change. Of a connector that comes
// or goes, they are those that it has itself.
func (c *changing) settingsNow() []interapp.SettingNow {
	before, after := map[string]string{}, map[string]string{}
	var keys []string
	gather := func(d config.Description, into map[string]string) {
		settings, _ := d.Connector(c.name)
		for _, s := range settings {
			if (c.create || c.remove) && !s.Set {
				continue
			}
			if !slices.Contains(keys, s.Key) {
				keys = append(keys, s.Key)
			}
			switch into[s.Key] = s.Value; {
			case s.Secret && s.Set:
				into[s.Key] = edit.Redacted
			case s.Secret:
				into[s.Key] = ""
			}
		}
	}
	gather(c.described, before)
	gather(c.then, after)
	out := []interapp.SettingNow{}
	for _, key := range keys {
		if before[key] != after[key] || c.entered[key] {
			out = append(out, interapp.SettingNow{Key: key, Before: before[key], After: after[key]})
		}
	}
	return out
}

// whatChanged is the settings of a change for the audit.
func whatChanged(settings []interapp.SettingNow) string {
	if len(settings) == 0 {
		return "no setting, only how the file writes them"
	}
	parts := make([]string, 0, len(settings))
	for _, s := range settings {
		parts = append(parts, fmt.Sprintf("%s: %s → %s", s.Key, cmp.Or(s.Before, "none"), cmp.Or(s.After, "none")))
	}
	return strings.Join(parts, ", ")
}

// diff puts the lines that change into the answer.
func (c *changing) diff(out *interapp.ConnectorChanged) error {
	lines, err := edit.Diff(c.before, c.after)
	for _, line := range lines {
		op := "-"
		if line.Comes {
			op = "+"
		}
		out.Changes = append(out.Changes, interapp.DiffLine{Line: line.Number, Op: op, Text: line.Text})
	}
	return err
}
