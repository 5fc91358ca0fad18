package connector_test

import (
	"slices"
	"strings"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
)

// A check tells of each stage when it begins and when it ended, up to the one that fails.
func TestCheckIsWatched(t *testing.T) {
	t.Parallel()
	all := "resolve? resolve connect? connect handshake? handshake host-key? host-key authenticate? authenticate sftp? sftp list? list destination? destination"
	for name, c := range map[string]struct {
		spoil func(*rig)
		want  string
	}{
		"good":         {func(*rig) {}, all},
		"no server":    {func(r *rig) { r.sftp.Port = 1 }, "resolve? resolve connect? connect!"},
		"unknown key":  {func(r *rig) { r.sftp.KnownHosts = nil }, "resolve? resolve connect? connect handshake? handshake host-key? host-key!"},
		"no directory": {func(r *rig) { r.sftp.Root += "/none" }, strings.TrimSuffix(all, "list destination? destination") + "list!"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint, c.spoil)
			var told []string
			check := r.connector.Check(t.Context(), func(stage string, ended *status.Stage) {
				switch {
				case ended == nil:
					stage += "?"
				case !ended.OK:
					stage += "!"
				}
				told = append(told, stage)
			})
			if got := strings.Join(told, " "); got != c.want {
				t.Errorf("told of %s\nwant    %s\n%+v", got, c.want, check)
			}
			ended := slices.DeleteFunc(told, func(s string) bool { return strings.HasSuffix(s, "?") })
			if len(check.Stages) != len(ended) {
				t.Errorf("%d stages, and told of %d", len(check.Stages), len(ended))
			}
		})
	}
}
