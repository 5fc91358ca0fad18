package connector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// ErrListing: a listing of the connector is under way.
var ErrListing = errors.New("a listing of this connector is under way")

// maxListing bounds the files of a listing, in bytes of their names and reasons.
const maxListing = 8 << 20

// Listing lists what a pass would see, and copies nothing: the first files by their
// names, up to limit. It is as far as it came when its Error is set; with an error there
// is none: ErrListing, or what keeps the connection from being opened.
func (c *Connector) Listing(ctx context.Context, limit int) (interapp.Listing, error) {
	first := firstFiles{limit: limit, most: maxListing}
	results := make(chan interapp.File, 64)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		for f := range results {
			first.add(f)
		}
	}()
	out, err := c.List(ctx, func(f interapp.File) { results <- f })
	close(results)
	<-kept
	first.cut()
	out.Files, out.More = first.files, first.more
	return out, err
}

// List is Listing for all files: each is told as it is found, from several goroutines.
func (c *Connector) List(ctx context.Context, each func(interapp.File)) (interapp.Listing, error) {
	select {
	case c.listing <- struct{}{}:
		defer func() { <-c.listing }()
	default:
		return interapp.Listing{}, ErrListing
	}
	src, dst, err := c.ends.open(ctx, false)
	if err != nil {
		if ctx.Err() == nil {
			c.health.report(err)
		}
		return interapp.Listing{}, err
	}
	defer c.ends.dst.release(dst, false)
	out := interapp.Listing{Connector: c.cfg.Name, At: time.Now().UTC(), Files: []interapp.File{}, Failures: []interapp.FileFailure{}}
	o := c.options(filesync.Survey, "", false)
	o.AwaitSettle = false
	o.OnDecision = func(d filesync.Decision) { each(d.Message()) }
	result := pass.New(src, c.ends.reopen, dst, c.ledger, pass.NewShared(0), o).Run(ctx)
	out.Counts, out.ToCopy = result.Files, result.ToCopy
	for _, f := range result.Failures {
		out.Failures = append(out.Failures, interapp.FileFailure{Name: f.Name, Error: f.Error, Hint: f.Hint})
	}
	switch {
	case ctx.Err() != nil:
		out.Error = context.Cause(ctx).Error()
	case result.Err != nil:
		out.Error = result.Err.Error()
	}
	return out, nil
}

// firstFiles keeps the first files by their names: at most limit, and about so many bytes
// of them.
type firstFiles struct {
	limit, most int
	files       []interapp.File
	bytes       int
	more        bool   // some were left out
	last        string // of them, all are behind this name, if more
}

func (f *firstFiles) add(file interapp.File) {
	if f.more && file.Name > f.last {
		return
	}
	f.files = append(f.files, file)
	f.bytes += sizeOf(file)
	if len(f.files) >= 2*f.limit || f.bytes >= 2*f.most {
		f.cut()
	}
}

// cut puts the files in order, and leaves those out that are too many.
func (f *firstFiles) cut() {
	slices.SortFunc(f.files, func(a, b interapp.File) int { return strings.Compare(a.Name, b.Name) })
	bytes := 0
	for i, file := range f.files {
		if bytes += sizeOf(file); i > 0 && (i >= f.limit || bytes > f.most) {
			f.more, f.last = true, f.files[i-1].Name
			f.files, bytes = slices.Delete(f.files, i, len(f.files)), bytes-sizeOf(file)
			break
		}
	}
	f.bytes = bytes
}

// sizeOf is about how much memory a file takes.
func sizeOf(f interapp.File) int { return 200 + len(f.Name) + len(f.Target) + len(f.Reason) }
