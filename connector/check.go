package connector

import (
	"context"
	"path"
	"strings"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/status"
)

// Watch is told of a check as it goes: of each stage that begins, with a nil ended, and
// of each that ended. It is called from one goroutine at a time and must not block.
type Watch func(stage string, ended *status.Stage)

// Check tries the connection stage by stage, up to the first that fails, and
// sets the Connection Status. It copies nothing. watch may be nil.
func (c *Connector) Check(ctx context.Context, watch Watch) interapp.Check {
	c.health.checking()
	stages := []status.Stage{}
	observe := func(s status.Stage) { stages = append(stages, s) }
	if watch != nil {
		observe = watched(c.cfg, observe, watch)
	}
	err := c.ends.check(ctx, observe)
	if ctx.Err() != nil {
		c.health.abandon()
	} else {
		c.health.checked(err)
	}
	word := status.Of(err)
	r := interapp.Check{Connector: c.cfg.Name, ConnectionStatus: string(word), Stages: stages, Paused: c.Paused()}
	if err != nil {
		r.Error, r.Hint = err.Error(), status.HintOf(err)
		c.mu.Lock()
		c.totals.Errors[word]++
		c.mu.Unlock()
	} else {
		// The logins work again: automatic passes need not be held back.
		c.ends.loginWorks(ctx)
	}
	return r
}

// watched has watch told of what observe is told, and of the stages that begin: each
// does when the one before it has ended.
func watched(cfg *config.Connector, observe status.Observer, watch Watch) status.Observer {
	first := status.StageResolve
	if cfg.SFTP.CredentialsAPI.Enabled() {
		first = status.StageCredentials
	}
	watch(first, nil)
	return func(s status.Stage) {
		observe(s)
		watch(s.Stage, &s)
		if next := status.StageAfter(s.Stage); s.OK && next != "" {
			watch(next, nil)
		}
	}
}

// check tries both ends stage by stage.
func (e *ends) check(ctx context.Context, observe status.Observer) error {
	if e.cfg.Uploads() {
		return e.checkUpload(ctx, observe)
	}
	return e.checkDownload(ctx, observe)
}

// checkDownload goes from the server to the destination.
func (e *ends) checkDownload(ctx context.Context, observe status.Observer) error {
	src, err := e.source(ctx, observe)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := e.checkList(ctx, observe, src); err != nil {
		return err
	}
	return stage(observe, status.StageDestination, e.cfg.Files.DestinationDirectoryPath, func() error {
		dst, err := e.destination(ctx, nil)
		if err != nil {
			return err
		}
		defer dst.Close()
		return e.probe(ctx, dst)
	})
}

// checkUpload has the same stages: the server is the destination.
func (e *ends) checkUpload(ctx context.Context, observe status.Observer) error {
	dst, err := e.destination(ctx, observe)
	if err != nil {
		return err
	}
	defer dst.Close()
	src, err := e.source(ctx, nil)
	if err != nil {
		observe.Report(status.Stage{Stage: status.StageList, Detail: err.Error()})
		return err
	}
	defer src.Close()
	if err := e.checkList(ctx, observe, src); err != nil {
		return err
	}
	return stageWithDetail(observe, status.StageDestination, e.cfg.Files.DestinationDirectoryPath, func() (string, error) {
		err := e.probe(ctx, dst)
		d, ok := dst.(interface{ Untried() string })
		if !ok {
			return "", err
		}
		return d.Untried(), err
	})
}

func (e *ends) checkList(ctx context.Context, observe status.Observer, src Source) error {
	return stage(observe, status.StageList, e.cfg.Files.SourceDirectoryPath, func() error { return src.Probe(ctx) })
}

// stage does one step and reports it.
func stage(observe status.Observer, name, detail string, do func() error) error {
	return stageWithDetail(observe, name, detail, func() (string, error) { return "", do() })
}

// stageWithDetail is stage of a step that may have more to tell.
func stageWithDetail(observe status.Observer, name, detail string, do func() (more string, err error)) error {
	start := time.Now()
	more, err := do()
	switch {
	case err != nil:
		detail = err.Error()
	case more != "":
		detail += "; " + more
	}
	observe.Report(status.Stage{Stage: name, OK: err == nil, MS: time.Since(start).Milliseconds(), Detail: detail})
	return err
}

// below gives dir relative to the source directory, if it lies there: what was
// moved aside is not copied again. A relative dir starts at the source.
func below(source, dir string) string {
	if dir == "" {
		return ""
	}
	if !strings.HasPrefix(dir, "/") {
		return path.Clean(dir)
	}
	source, dir = path.Clean("/"+source), path.Clean(dir)
	if source == "/" {
		return strings.TrimPrefix(dir, "/")
	}
	rest, ok := strings.CutPrefix(dir, source+"/")
	if !ok {
		return ""
	}
	return rest
}
