package sftptest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// erlangScript serves SFTP from Erlang/OTP. Its arguments: the port, the served
// directory, that of the host keys, and a file with the password.
const erlangScript = `#!/usr/bin/env escript
main([Port, Root, Keys, PasswordFile]) ->
  {ok, Password} = file:read_file(PasswordFile),
  ok = crypto:start(),
  ok = ssh:start(),
  {ok, _} = ssh:daemon({127,0,0,1}, list_to_integer(Port), [
    {system_dir, Keys}, {parallel_login, true},
    {pwdfun, fun(_, P) -> list_to_binary(P) == Password end},
    {subsystems, [ssh_sftpd:subsystem_spec([{cwd, Root}])]}]),
  receive stop -> ok end.
`

// StartErlang starts the SFTP daemon of Erlang/OTP (Debian's erlang-ssh) on a free
// port of loopback. The login is with a password. It truncates a file each time
// that it is opened for writing, and gives out one handle twice.
func StartErlang(tb testing.TB) *Server {
	tb.Helper()
	escript := lookProgram(tb, "escript", "erlang-ssh erlang-base")
	key := NewKey(tb, RSA)
	dir := workDir(tb)
	s := &Server{
		tb:       tb,
		Endpoint: newEndpoint(tb, dir, 0, signers([]Key{key})),
		logPath:  filepath.Join(dir, "erlang.log"),
		opsPath:  filepath.Join(dir, "operations.log"),
	}
	s.User, s.Password = "collector", randomPassword()
	keys, script, password := filepath.Join(dir, "keys"), filepath.Join(dir, "sftpd.escript"), filepath.Join(dir, "password")
	must(tb, os.Mkdir(keys, 0o700))
	must(tb, os.WriteFile(filepath.Join(keys, "ssh_host_rsa_key"), key.PEM, 0o600))
	must(tb, os.WriteFile(script, []byte(erlangScript), 0o600))
	must(tb, os.WriteFile(password, []byte(s.Password), 0o600))
	s.startOnFreePort(func() error {
		s.argv = []string{escript, script, fmt.Sprint(s.Port), s.Root, keys, password}
		return nil
	})
	return s
}
