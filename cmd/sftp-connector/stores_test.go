package main

import (
	"errors"
	"reflect"
	"testing"

	"sftpconnector/config"
	"sftpconnector/sshclient"
	"sftpconnector/status"
	"sftpconnector/store/sftp"
)

// What a configuration says of logins is what the store is given.
func TestLoginOfTheConfiguration(t *testing.T) {
	t.Parallel()
	c := &config.Connector{SFTP: config.SFTP{
		Host: "h", Port: 22, Username: "u", Authentication: config.Both, Password: "p", KeyPairsPath: "k", KeyPairsPassphrase: "kp",
		InteractiveAnswers: config.Answers{"Code": "a"},
		ProxyJump:          "j@jump:2222", JumpPassword: "jp", JumpKeyPairsPath: "jk", JumpPassphrase: "jkp",
	}}
	got := sftpConfig(c)
	want := sftp.Config{Config: sshclient.Config{
		Host: "h", Port: 22, Username: "u", Both: true, Password: "p", KeyPath: "k", KeyPassphrase: "kp",
		Answers: map[string]string{"Code": "a"},
		Jump:    &sshclient.Jump{Username: "j", Host: "jump", Port: 2222, Password: "jp", KeyPath: "jk", KeyPassphrase: "jkp"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	c.SFTP.Authentication = config.Agent
	if got := sftpConfig(c); !got.Agent || got.Both || got.KeyPairs {
		t.Errorf("the agent: %+v", got)
	}
}

// A fetched login that is refused is fetched anew, as its advice says; a refusal
// with advice of its own keeps that.
func TestAdviceOfFetched(t *testing.T) {
	t.Parallel()
	plain := &status.Error{Word: status.AuthenticationFailed, Op: "log in", Err: errors.New("refused")}
	own := &status.Error{Word: status.AuthenticationFailed, Op: "log in", Err: errors.New("refused"), Hint: "Ask the jump host."}
	if hint := status.HintOf(ofFetched(plain)); hint == plain.Word.Hint() {
		t.Error("the advice is that of a login that is configured")
	}
	if hint := status.HintOf(ofFetched(own)); hint != own.Hint {
		t.Errorf("its own advice became %q", hint)
	}
}
