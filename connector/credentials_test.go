package connector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// fetching is a connector whose login comes from an API: the nth fetch gives the
// host "hostN". failures says how a login at each of them ends, nil for a login.
func fetching(t *testing.T, direction config.Direction, failures []error) (c *connector.Connector, tried *[]string) {
	t.Helper()
	fetches := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{
			"username": "u", "password": "p", "host": fmt.Sprint("host", fetches), "port": "22",
		}})
		fetches++
	}))
	t.Cleanup(api.Close)
	cfg := &config.Connector{
		Name: "c", Direction: direction, Sync: config.Schedule{Text: "N/A"},
		TimeZone: config.TimeZone{Location: time.UTC}, Retention: config.Duration(24 * time.Hour),
	}
	cfg.Files = config.Files{
		SourceDirectoryPath: t.TempDir(), DestinationDirectoryPath: t.TempDir(), Include: []string{"**"},
		AfterCopy: config.AfterCopy{Action: config.Leave}, OnConflict: config.FailOnConflict, Layout: config.Tree,
	}
	cfg.SFTP.CredentialsAPI = config.CredentialsAPI{URL: api.URL, SecretKey: "sk", SpaceID: "us_sp_1"}
	tried = new([]string)
	logIn := func(cfg *config.Connector) error {
		*tried = append(*tried, cfg.SFTP.Host)
		if cfg.SFTP.Username != "u" || cfg.SFTP.Password.Reveal() != "p" || cfg.SFTP.Port != 22 {
			t.Errorf("the login is %+v", cfg.SFTP)
		}
		var n int
		fmt.Sscanf(cfg.SFTP.Host, "host%d", &n)
		return failures[n]
	}
	parts := connector.Parts{Credentials: new(connector.Credentials)}
	t.Cleanup(parts.Credentials.Close)
	parts.Source = func(_ context.Context, cfg *config.Connector, observe status.Observer) (connector.Source, error) {
		if direction == config.Download {
			if err := logIn(cfg); err != nil {
				observe.Report(status.Stage{Stage: status.StageAuthenticate, Detail: cfg.SFTP.Host})
				return nil, err
			}
		}
		return local.OpenSource(cfg.Files.SourceDirectoryPath)
	}
	parts.Destination = func(_ context.Context, cfg *config.Connector, _ int64, observe status.Observer) (filesync.Destination, error) {
		if direction == config.Upload {
			if err := logIn(cfg); err != nil {
				observe.Report(status.Stage{Stage: status.StageAuthenticate, Detail: cfg.SFTP.Host})
				return nil, err
			}
		}
		return local.Open(cfg.Files.DestinationDirectoryPath, pending.NewOwner("0123abcd", "c", 0))
	}
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	set, err := connector.NewSet(t.Context(), &config.Config{Connectors: map[string]*config.Connector{"c": cfg}}, parts, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Stop)
	if c, err = set.Get("c"); err != nil {
		t.Fatal(err)
	}
	return c, tried
}

func loginFailure(word status.Word, hint string) error {
	return &status.Error{Word: word, Op: "log in to", Target: "host", Err: errors.New("a test"), Hint: hint}
}

// A login that is not valid any more is fetched anew: at once when the server
// refuses it, and at the next try when there is no server.
func TestOutdatedLoginIsFetchedAgain(t *testing.T) {
	t.Parallel()
	const valid = status.Word("")
	for name, test := range map[string]struct {
		logins []status.Word // how a login at each host ends
		want   []string      // the hosts that two checks in a row log in at
	}{
		"valid":                   {[]status.Word{valid}, []string{"host0", "host0"}},
		"expired":                 {[]status.Word{status.AuthenticationFailed, valid}, []string{"host0", "host1", "host1"}},
		"refused twice":           {[]status.Word{status.AuthenticationFailed, status.AuthenticationFailed, valid}, []string{"host0", "host1", "host2"}},
		"its name has gone":       {[]status.Word{status.HostNotFound, valid}, []string{"host0", "host1"}},
		"nobody listens":          {[]status.Word{status.ConnectionRefused, valid}, []string{"host0", "host1"}},
		"nobody answers":          {[]status.Word{status.ConnectionTimedOut, valid}, []string{"host0", "host1"}},
		"refused, and then moved": {[]status.Word{status.AuthenticationFailed, status.HostNotFound, valid}, []string{"host0", "host1", "host2"}},
		"another reason":          {[]status.Word{status.ConnectionLost, valid}, []string{"host0", "host0"}},
	} {
		for _, direction := range []config.Direction{config.Download, config.Upload} {
			t.Run(fmt.Sprint(name, " ", direction), func(t *testing.T) {
				t.Parallel()
				failures := make([]error, len(test.logins))
				for i, word := range test.logins {
					if word != valid {
						failures[i] = loginFailure(word, "")
					}
				}
				c, tried := fetching(t, direction, failures)
				first := c.Check(t.Context(), nil)
				c.Check(t.Context(), nil)
				if !slices.Equal(*tried, test.want) {
					t.Errorf("logged in at %q, want %q", *tried, test.want)
				}
				// The stages are those of the last login of a check alone.
				var reported []string
				for _, s := range first.Stages {
					if s.Stage == status.StageAuthenticate {
						reported = append(reported, s.Detail)
					}
				}
				if len(reported) > 1 {
					t.Errorf("the stages tell of logins at %q", reported)
				}
			})
		}
	}
}

// The refusal of a fetched login has advice about the API. A refusal with advice of
// its own keeps that.
func TestAdviceOfAFetchedLogin(t *testing.T) {
	t.Parallel()
	for hint, want := range map[string]string{"": "refetch credentials", "Ask the jump host.": "Ask the jump host."} {
		refused := loginFailure(status.AuthenticationFailed, hint)
		c, _ := fetching(t, config.Download, []error{refused, refused})
		if r := c.Check(t.Context(), nil); !strings.Contains(r.Hint, want) {
			t.Errorf("the advice is %q, want %q", r.Hint, want)
		}
	}
}
