package credentialsapi

import (
	"strings"
	"testing"
)

// A secret key goes over no network in clear: that is refused before anything is asked,
// whatever the host and the port.
func TestSecretKeyIsNotSentInClear(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"http://api.example.com/", "http://api.example.com:8080/", "HTTP://api.example.com:80/", "http://192.0.2.1:8080/",
		"http://[2001:db8::1]:8080/", "http://localhost.example.com:8080/", "http://127.0.0.1.example.com:1/",
	} {
		if _, err := New(Options{URL: target, SecretKey: "key", SpaceID: "s"}); err == nil || !strings.Contains(err.Error(), "in clear") {
			t.Errorf("%s: %v", target, err)
		}
	}
}
