package config

// validateLogin checks that there is what the authentication takes, and nothing else.
func (s SFTP) validateLogin(at *place) {
	key, password := s.Authentication == KeyPairs || s.Authentication == Both, s.Authentication == Credentials || s.Authentication == Both
	takes := map[Authentication]string{
		Credentials: "password", KeyPairs: "key_pairs_path", Both: "password and key_pairs_path", Agent: "the keys of the agent",
	}[s.Authentication]
	const oneAfterOther = ", or both for a server that wants one after the other"
	withKey := string(KeyPairs)
	if s.Password != "" {
		withKey += oneAfterOther
	}
	unused := func(name, instead string) {
		at.at(name).fail("not used: authentication is %s, which takes %s; remove it, or write authentication: %s", s.Authentication, takes, instead)
	}
	if s.Authentication == Credentials && s.Password == "" && s.KeyPairsPath != "" {
		at.at("key_pairs_path").fail("not used: authentication is credentials, which takes password; write authentication: key-pairs")
		return
	}
	switch {
	case key && s.KeyPairsPath == "":
		at.at("key_pairs_path").fail("required with authentication: %s; allowed: the path of a private key", s.Authentication)
	case !key && s.KeyPairsPath != "":
		unused("key_pairs_path", withKey)
	}
	if !key && s.KeyPairsPassphrase != "" {
		unused("key_pairs_passphrase", withKey)
	}
	switch {
	case password && s.Password == "" && len(s.InteractiveAnswers) == 0:
		at.at("password").fail("required with authentication: %s; allowed: a password, here or in a password_file", s.Authentication)
	case !password && s.Password != "":
		unused("password", string(Credentials)+oneAfterOther)
	}
	if !password && len(s.InteractiveAnswers) > 0 {
		unused("interactive_answers", string(Both))
	}
}

// validateJump checks the jump host and the login there.
func (s SFTP) validateJump(at *place) {
	if s.ProxyJump == "" {
		for key, is := range map[string]bool{
			"proxy_jump_password":             s.JumpPassword != "",
			"proxy_jump_key_pairs_path":       s.JumpKeyPairsPath != "",
			"proxy_jump_key_pairs_passphrase": s.JumpPassphrase != "",
		} {
			if is {
				at.at(key).fail("not used without proxy_jump")
			}
		}
		return
	}
	if _, _, _, err := parseJump(s.ProxyJump); err != nil {
		at.at("proxy_jump").fail("%v", err)
		return
	}
	if s.JumpPassphrase != "" && s.JumpKeyPairsPath == "" {
		at.at("proxy_jump_key_pairs_passphrase").fail("not used without proxy_jump_key_pairs_path")
	}
}
