package connector

import (
	"context"
	"path"
	"strings"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// Check tries the connection stage by stage, up to the first that fails, and
// sets the Connection Status. It copies nothing.
func (e *Element) Check(ctx context.Context) interapp.Check {
	e.health.checking()
	stages := []status.Stage{}
	observe := func(s status.Stage) { stages = append(stages, s) }
	check := e.checkDownload
	if e.cfg.Uploads() {
		check = e.checkUpload
	}
	err := check(ctx, observe)
	if ctx.Err() != nil {
		e.health.abandon()
	} else {
		e.health.checked(err)
	}
	word := status.Of(err)
	r := interapp.Check{Connector: e.cfg.Name, ConnectionStatus: string(word), Stages: stages}
	if err != nil {
		r.Error, r.Hint = err.Error(), status.HintOf(err)
		e.mu.Lock()
		e.totals.Errors[word]++
		e.mu.Unlock()
	} else {
		// The logins work again: automatic passes need not be held back.
		e.loginWorks(ctx)
	}
	return r
}

// checkDownload goes from the server to the destination.
func (e *Element) checkDownload(ctx context.Context, observe status.Observer) error {
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
		return e.tryDestination(ctx, dst)
	})
}

// checkUpload has the same stages: the server is the destination.
func (e *Element) checkUpload(ctx context.Context, observe status.Observer) error {
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
	return stageTold(observe, status.StageDestination, e.cfg.Files.DestinationDirectoryPath, func() (string, error) {
		err := e.tryDestination(ctx, dst)
		d, ok := dst.(interface{ Untried() string })
		if !ok {
			return "", err
		}
		return d.Untried(), err
	})
}

func (e *Element) checkList(ctx context.Context, observe status.Observer, src Source) error {
	return stage(observe, status.StageList, e.cfg.Files.SourceDirectoryPath, func() error { return src.Probe(ctx) })
}

// stage does one step and reports it.
func stage(observe status.Observer, name, detail string, do func() error) error {
	return stageTold(observe, name, detail, func() (string, error) { return "", do() })
}

// stageTold is stage of a step that may have more to tell.
func stageTold(observe status.Observer, name, detail string, do func() (more string, err error)) error {
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

// Survey decides about each file as a pass would, and copies nothing. decide
// is called from several goroutines.
func (e *Element) Survey(ctx context.Context, decide func(filesync.Decision)) (filesync.Result, error) {
	src, dst, err := e.open(ctx, false)
	if err != nil {
		e.health.report(err)
		return filesync.Result{}, err
	}
	defer e.dst.release(dst, false)
	o := e.options(filesync.Survey, "", false)
	o.AwaitSettle = false
	o.OnDecision = decide
	result := pass.New(src, e.reopen, dst, e.memory, pass.NewShared(0), o).Run(ctx)
	return result, result.Err
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
