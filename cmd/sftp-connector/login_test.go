package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"sftpconnector/config"
	"sftpconnector/status"
	"sftpconnector/store/sftp"
)

// A login that is not valid any more is fetched anew: at once when the server
// refuses it, and at the next try when there is no server.
func TestOutdatedLogin(t *testing.T) {
	t.Parallel()
	// The nth fetch gives the host "hostN".
	const here = status.Word("")
	for name, test := range map[string]struct {
		hosts []status.Word // how a login at each of them ends
		want  []string      // the hosts that two tries in a row log in at
	}{
		"valid":                   {[]status.Word{here}, []string{"host0", "host0"}},
		"expired":                 {[]status.Word{status.AuthenticationFailed, here}, []string{"host0", "host1", "host1"}},
		"refused twice":           {[]status.Word{status.AuthenticationFailed, status.AuthenticationFailed, here}, []string{"host0", "host1", "host2"}},
		"its name has gone":       {[]status.Word{status.HostNotFound, here}, []string{"host0", "host1"}},
		"nobody listens":          {[]status.Word{status.ConnectionRefused, here}, []string{"host0", "host1"}},
		"nobody answers":          {[]status.Word{status.ConnectionTimedOut, here}, []string{"host0", "host1"}},
		"refused, and then moved": {[]status.Word{status.AuthenticationFailed, status.HostNotFound, here}, []string{"host0", "host1", "host2"}},
		"another reason":          {[]status.Word{status.ConnectionLost, here}, []string{"host0", "host0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fetches := 0
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{
					"username": "u", "password": "p", "host": fmt.Sprint("host", fetches), "port": "22",
				}})
				fetches++
			}))
			defer api.Close()
			s := stores{known: newKnown()}
			defer s.known.close()
			c := &config.Connector{Name: "out"}
			c.SFTP.CredentialsAPI = config.CredentialsAPI{URL: api.URL, SecretKey: "sk", SpaceID: "us_sp_1"}
			var asked []string
			open := func(_ context.Context, cfg sftp.Config, _ status.Observer) error {
				asked = append(asked, cfg.Host)
				var n int
				fmt.Sscanf(cfg.Host, "host%d", &n)
				if word := test.hosts[n]; word != here {
					return &status.Error{Word: word, Op: "log in to", Target: cfg.Host, Err: errors.New("a test")}
				}
				return nil
			}
			for range 2 {
				_ = s.login(t.Context(), c, nil, open)
			}
			if !slices.Equal(asked, test.want) {
				t.Errorf("logged in at %q, want %q", asked, test.want)
			}
		})
	}
}
