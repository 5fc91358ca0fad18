package sshclient

import (
	"errors"
	"strings"
	"testing"
)

// No form of a secret that the server repeats comes into the words of a failed login.
func TestRepeatedSecretsAreHidden(t *testing.T) {
	for _, secret := range []string{`hun"ter2x`, "hunter  two", `hunter\2`, "hunter\u00fc2", "hunter\ttwo", "hunter\x01two", "hunter\xff2", strings.Repeat("hunter ", 40)} {
		for name, say := range map[string]func(a *authenticator){
			"a banner":       func(a *authenticator) { a.note("wrong: " + secret) },
			"a long banner":  func(a *authenticator) { a.note(strings.Repeat("x", 8*maxSaid-4) + secret) },
			"an instruction": func(a *authenticator) { _, _ = a.interact("", "wrong: "+secret, nil, nil) },
			"a question": func(a *authenticator) {
				_, _ = a.interact("", "", []string{"Code for " + secret + ":"}, []bool{false})
			},
			"a long question": func(a *authenticator) {
				_, _ = a.interact("", "", []string{"Code " + strings.Repeat("x", maxSaid-9) + secret}, []bool{false})
			},
			"a question again": func(a *authenticator) {
				for range 2 {
					_, _ = a.interact("", "", []string{"The " + secret + ":"}, []bool{false})
				}
			},
			"a shown question": func(a *authenticator) { _, _ = a.interact("", "", []string{secret}, []bool{true}) },
			"a method": func(a *authenticator) {
				a.steps, a.offered = []step{{method: methodPassword, shown: methodPassword, accepted: true}}, []string{secret}
			},
		} {
			a := newAuthenticator(t.Context(), Config{Username: "u", Password: secret, Host: "h", Answers: map[string]string{"no such question": "hunter"}}, func() bool { return false })
			a.steps = []step{{method: methodInteractive, shown: methodInteractive}}
			say(a)
			err := a.refusal(errors.New("ssh: no more methods"))
			if text := err.Error(); strings.Contains(text, "hun") || !strings.Contains(text, "[reda") && !strings.HasPrefix(name, "a long") {
				t.Errorf("%s with %q: %v", name, secret, err)
			}
		}
	}
}
