package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	_ "time/tzdata" // time_zone works on machines without a tz database

	"github.com/spf13/cobra"

	"sftpconnector/backoff"
	"sftpconnector/config"
	"sftpconnector/config/edit"
	"sftpconnector/connector"
	"sftpconnector/durable"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
	"sftpconnector/interapp/server"
	"sftpconnector/space"
	filesync "sftpconnector/sync"
	"sftpconnector/web"
)

// stopWithin is how long the passes under way may take to end.
const stopWithin = 10 * time.Second

func (a *app) runCommand() *cobra.Command {
	var pprof bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon: every connector on its schedule, the API and the metrics",
		Long: `Runs the daemon: every connector on its schedule, the API and the metrics.

SIGHUP reads the configuration anew: a bad one is reported and the old one kept;
a good one touches only the connectors whose settings changed. SIGTERM and
SIGINT end the passes cleanly within 10 seconds; what was interrupted goes on
after the next start.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c.Context(), pprof) },
	}
	c.Flags().BoolVar(&pprof, "pprof", false, "serve profiles under /debug/pprof/")
	return c
}

func (a *app) run(ctx context.Context, pprof bool) error {
	path, err := filepath.Abs(a.configPath)
	if err != nil {
		return failed(err)
	}
	cfg, version, _, err := loadVersion(&edit.File{Path: a.configPath})
	if errors.Is(err, fs.ErrNotExist) {
		return usage("there is no configuration file %s: name one with --config, or start from config.example.yaml; an empty file will do, too, and connectors can then be added in the browser", a.configPath)
	}
	if err != nil {
		return a.unloaded(err)
	}
	log, err := a.logger(slog.LevelInfo)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(cfg.DataDirectory, 0o700); err != nil {
		return failed(fmt.Errorf("make data directory: %w", err))
	}
	claim, err := claimDaemon(ctx, cfg.DataDirectory)
	if err != nil {
		return failed(err)
	}
	defer claim.Unlock()
	// What a killed daemon left names a port that another process may have by
	// now, and the verbs would send it their token.
	killed, err := retireDaemonInfo(cfg.DataDirectory)
	if err != nil {
		return failed(fmt.Errorf("remove the trace of an earlier daemon: %w", err))
	}
	// From before others see that it runs: unheard, a hangup would end it.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	d, err := startDaemon(ctx, cfg, newConfiguration(path, version), log, pprof, connector.Parts{})
	if err != nil {
		return err
	}
	defer os.Remove(daemonInfoPath(cfg.DataDirectory))
	if killed {
		// A power cut brings back files whose removal was not durable yet.
		if err := errors.Join(d.ledger.RequireSweep(ctx), os.Remove(killedPath(cfg.DataDirectory))); err != nil {
			log.Warn("pending files may be left at the destinations", "error", err)
		}
	}
	if terminal(a.stderr) {
		if link, err := d.signInLink(); err == nil {
			fmt.Fprintln(a.stderr, link)
		}
	}
	d.reloads.Go(func() { d.reloadOn(d.alive, hangups) })
	select {
	case err := <-d.broken:
		return failed(errors.Join(err, d.stop()))
	case <-ctx.Done():
		log.Info("stopping")
		return failed(d.stop())
	}
}

// daemon is the running program.
type daemon struct {
	*backend      // its cfg is what it was started with
	now           atomic.Pointer[config.Config]
	configuration *configuration // nil: it was started without a file
	reloading     chan struct{}  // holds a value while a reload is under way: there is one at a time
	log           *slog.Logger
	api           *server.Server
	events        *server.Events
	url           string        // where this machine reaches it
	operator      config.Secret // the operator's token
	asked         *requests.Service
	http          *http.Server
	broken        chan error      // the listener failed
	alive         context.Context // until it stops
	end           context.CancelFunc
	sets          sync.WaitGroup
	reloads       sync.WaitGroup
}

// startDaemon starts serving and the schedules. file, which may be nil, is where cfg
// is from. watch may have some of the On
// functions, which are told as well.
func startDaemon(ctx context.Context, cfg *config.Config, file *configuration, log *slog.Logger, pprof bool, watch connector.Parts) (*daemon, error) {
	d := &daemon{log: log, broken: make(chan error, 3), configuration: file, reloading: make(chan struct{}, 1)}
	d.now.Store(cfg)
	var err error
	if d.operator, err = makeOperatorToken(cfg.DataDirectory); err != nil {
		return nil, failed(err)
	}
	access := withOperator(cfg.Server, d.operator)
	room := roomFor(descriptors())
	d.alive, d.end = context.WithCancel(context.WithoutCancel(ctx))
	listener, err := net.Listen("tcp", cfg.Server.Listen)
	if err != nil {
		return nil, failed(fmt.Errorf("server.listen: %w", err))
	}
	metrics := server.NewMetrics(buildVersion())
	d.events = server.NewEvents()
	receive := space.Options{Config: cfg, Log: log, OnSession: metrics.ObserveSession, Descriptors: room.spaces}
	if d.backend, err = openBackend(ctx, cfg, d.parts(metrics, watch), nil, &receive); err != nil {
		listener.Close()
		return nil, err
	}
	d.asked, err = requests.New(requests.Options{Set: d.set, Ledger: d.ledger, Server: access, Log: log, OnPosting: metrics.ObservePosting, OnChange: func(s interapp.RequestState) {
		metrics.ObserveRequest(s)
		d.events.Request(s)
	}})
	if err != nil {
		listener.Close()
		d.close()
		return nil, failed(err)
	}
	var configured server.Configuration
	if file != nil {
		file.daemon, configured = d, file
	}
	d.api = server.New(server.Options{
		Configuration: configured,
		Pages:         web.New(web.Options{API: http.HandlerFunc(d.serveAPI), Version: buildVersion()}),
		Set:           d.set, Requests: d.asked, Spaces: d.spaces, Ledger: d.ledger, Events: d.events, Server: access, Version: buildVersion(), Log: log, Metrics: metrics, Pprof: pprof,
	})
	d.http = server.NewHTTPServer(d.api)
	bounded := d.api.Bound(listener, d.http, room.api)
	d.http.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	scheme := "http"
	if cfg.Server.TLS.Enabled() {
		scheme = "https"
	}
	d.url = scheme + "://" + reachable(listener.Addr().String())
	info := daemonInfo{PID: os.Getpid(), URL: d.url}
	if err := info.write(cfg.DataDirectory); err != nil {
		listener.Close()
		d.close()
		return nil, failed(err)
	}
	d.begin(bounded, cfg.Server.TLS)
	if cfg.Empty() {
		log.Warn("nothing can be delivered: there is no connector and no Space yet; add a connector on the pages, or write one into the configuration", "pages", info.URL)
	}
	log.Info("running", "version", buildVersion(), "connectors", len(cfg.Connectors), "listen", info.URL, "data_directory", cfg.DataDirectory)
	return d, nil
}

// begin serves the API and the pages, and has schedules, requests and Spaces run, until
// the daemon stops. What breaks is told to d.broken.
func (d *daemon) begin(listener net.Listener, tls config.TLS) {
	go func() {
		var err error
		if tls.Enabled() {
			err = d.http.ServeTLS(listener, tls.Certificate, tls.Key)
		} else {
			err = d.http.Serve(listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			d.broken <- err
		}
	}()
	d.sets.Go(func() { d.set.Run(d.alive) })
	d.sets.Go(func() {
		if err := d.asked.Run(d.alive); err != nil && d.alive.Err() == nil {
			d.broken <- err
		}
	})
	if d.spaces != nil {
		d.sets.Go(func() {
			if err := d.spaces.Run(d.alive, d.set); err != nil {
				d.broken <- err
			}
		})
	}
}

// serveAPI answers what the pages ask.
func (d *daemon) serveAPI(w http.ResponseWriter, r *http.Request) { d.api.ServeHTTP(w, r) }

// signInLink is what a terminal shows: a link that signs a browser in as the operator.
func (d *daemon) signInLink() (string, error) {
	l, err := d.api.SignInLink(config.OperatorToken, d.url)
	return fmt.Sprintf("Open %s in a browser: it signs in once, until %s.", l.URL, l.Expires.Local().Format("15:04")), err
}

// parts are those of the daemon's connectors: all that happens is told on.
func (d *daemon) parts(metrics *server.Metrics, watch connector.Parts) connector.Parts {
	return connector.Parts{
		Log: d.log,
		OnPass: func(name string, p connector.PassReport) {
			metrics.ObservePass(name, p)
			d.events.Pass(name, p)
		},
		OnHealth: func(name string, h connector.Health) {
			d.events.Health(name, h)
			if watch.OnHealth != nil {
				watch.OnHealth(name, h)
			}
		},
		OnDelivered: func(name string, f filesync.Delivered) {
			d.events.Delivered(name, f)
			d.asked.Delivered()
			if watch.OnDelivered != nil {
				watch.OnDelivered(name, f)
			}
		},
	}
}

// reachable is the address at which this machine reaches a listener.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// stop ends passes, then the API, within stopWithin.
func (d *daemon) stop() error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.end()
		d.sets.Wait()
		d.reloads.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if d.http.Shutdown(ctx) != nil {
			d.http.Close()
		}
		d.free()
	}()
	select {
	case <-ended:
		d.log.Info("stopped")
		return nil
	case <-time.After(stopWithin):
		return fmt.Errorf("a pass did not end within %s and was cut off; it goes on after the next start", stopWithin)
	}
}

// reloadOn reloads at each hangup until ctx ends, and tries Spaces again that could
// not be opened. It is beside the loop that waits for the end of the program, as a
// reload waits for passes to end.
func (d *daemon) reloadOn(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			_, _ = d.configuration.Reload(ctx) // which logs what comes of it
		case <-time.After(backoff.Spool.Wait(1)):
			d.openSpaces(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// openSpaces tries Spaces again that could not be opened, unless a reload does.
func (d *daemon) openSpaces(ctx context.Context) {
	select {
	case d.reloading <- struct{}{}:
		defer func() { <-d.reloading }()
	default:
		return
	}
	if cfg := d.current(); d.spaces != nil && d.spaces.Unopened(cfg) && d.spaces.Reload(ctx, cfg) == nil {
		d.log.Info("all Spaces receive uploads")
	}
}

// errEnding: the daemon is about to end.
var errEnding = errors.New("the daemon ends")

// current is the configuration that the daemon runs with.
func (d *daemon) current() *config.Config { return d.now.Load() }

// reload goes over to another configuration, and puts what came of it into r. The
// caller sees to it that there is one reload at a time.
func (d *daemon) reload(cfg *config.Config, r *interapp.Reload) {
	// First, as a token that leaked has to go whatever happens to the rest.
	access := withOperator(cfg.Server, d.operator)
	d.api.SetServer(access)
	if err := d.asked.SetServer(access); err != nil {
		d.log.Error("reload: the old reply_to_allow is kept", "error", err)
		r.Refused = append(r.Refused, "server.reply_to_allow: "+err.Error())
	}
	differences(d.current(), cfg, r)
	for _, late := range atNextStart(d.cfg, cfg) {
		d.log.Warn("reload: " + late)
		r.Refused = append(r.Refused, late)
	}
	wait, cancel := context.WithTimeoutCause(d.alive, stopWithin, fmt.Errorf("passes did not end within %s", stopWithin))
	defer cancel()
	if d.spaces != nil && cfg.SpaceServer.Enabled() {
		if err := d.spaces.Reload(wait, cfg); err != nil {
			d.log.Error("reload: not all Spaces receive uploads; the others are tried again", "error", err)
			r.Refused = append(r.Refused, "spaces: "+err.Error())
		}
	}
	late, err := d.set.Reload(wait, withSpaces(cfg, d.spaces))
	if d.alive.Err() != nil {
		r.Error = errEnding.Error()
		return
	}
	if err != nil {
		d.log.Error("reload: failed, reload again to go over to the new configuration", "error", err)
		r.Error = "the tokens of the file are in force, and its connectors are not: " + err.Error()
		return
	}
	if len(late) > 0 {
		d.log.Warn("reload: passes have not ended yet; their connectors go over to the new configuration when they have", "connectors", late)
	}
	d.now.Store(cfg)
	d.log.Info("reloaded", "connectors", len(cfg.Connectors), "added", len(r.Added), "changed", len(r.Changed), "removed", len(r.Removed))
}
