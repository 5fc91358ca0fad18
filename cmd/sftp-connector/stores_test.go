package main

import (
	"reflect"
	"testing"

	"sftpconnector/config"
	"sftpconnector/sshclient"
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
