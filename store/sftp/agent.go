package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxAgentKeys is how many keys of an agent are offered: each is a failed login for
// the server, which takes six as a rule and may lock the user out.
const maxAgentKeys = 16

// agentSigners gives the keys of the SSH agent at SSH_AUTH_SOCK. They sign until
// hangUp is called, ctx ends, or the time for a handshake is over: an agent may
// ask its user.
func agentSigners(ctx context.Context, cfg Config) (signers []ssh.Signer, hangUp func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Handshake)
	conn, err := dialAgent(ctx, os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		cancel()
		return nil, nil, &loginError{
			text: fmt.Sprintf("the SSH agent cannot be reached: %v", err),
			hint: "Start ssh-agent, load the key with ssh-add, and give this program the agent's SSH_AUTH_SOCK.",
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	hangUp = func() {
		stop()
		cancel()
		_ = conn.Close()
	}
	keys, err := agent.NewClient(conn).Signers()
	for _, key := range keys {
		if modern, merr := modernSigner(key, cfg.LegacyAlgorithms); merr == nil {
			signers = append(signers, modern)
		}
	}
	switch {
	case err != nil:
		err = fmt.Errorf("the SSH agent does not give its keys: %w", cmp.Or(context.Cause(ctx), err)) // a closed socket is what its end looks like
	case len(signers) == 0:
		err = &loginError{text: "the SSH agent has no key", hint: "Load the key with ssh-add."}
	}
	if err != nil {
		hangUp()
		return nil, nil, err
	}
	return signers, hangUp, nil
}

// windowsAgent is where the agent of Windows is.
const windowsAgent = `\\.\pipe\openssh-ssh-agent`

func dialAgent(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	if windows := os.PathSeparator == '\\'; windows && (path == "" || strings.HasPrefix(path, `\\.\pipe\`)) {
		return os.OpenFile(cmp.Or(path, windowsAgent), os.O_RDWR, 0)
	}
	if path == "" {
		return nil, errors.New("SSH_AUTH_SOCK is not set")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, cause(err)
	}
	return conn, nil
}
