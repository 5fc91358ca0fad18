package interapp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sftpconnector/interapp"
)

const secret = "sixteen-chars-ok"

// signed is a body with its signature, as openssl makes it.
const (
	signedBody = `{"id":"1"}`
	signedSum  = "df99c54efa6717c378157d78203055cc9a47fef6c86e7721f1c770b7fae1f56a"
	signed     = "t=1767225600,v1=" + signedSum
)

func TestSign(t *testing.T) {
	if got := interapp.Sign(secret, time.Unix(1767225600, 999), []byte(signedBody)); got != signed {
		t.Errorf("%s, want %s", got, signed)
	}
}

// sumOf is the v1 of a body signed at the same time.
func sumOf(body string) string {
	_, sum, _ := strings.Cut(interapp.Sign(secret, time.Unix(1767225600, 0), []byte(body)), ",v1=")
	return sum
}

func TestVerify(t *testing.T) {
	const tolerance = 5 * time.Minute
	at := time.Unix(1767225600, 0)
	for name, c := range map[string]struct {
		secret, header, body string
		now                  time.Time
		ok                   bool
	}{
		"at once":                {secret, signed, signedBody, at, true},
		"as old as it may be":    {secret, signed, signedBody, at.Add(tolerance), true},
		"older":                  {secret, signed, signedBody, at.Add(tolerance + 1), false},
		"from a clock ahead":     {secret, signed, signedBody, at.Add(-tolerance), true},
		"from the future":        {secret, signed, signedBody, at.Add(-tolerance - 1), false},
		"another body":           {secret, signed, signedBody + " ", at, false},
		"no body":                {secret, signed, "", at, false},
		"another token":          {"sixteen-chars-no", signed, signedBody, at, false},
		"no token":               {"", interapp.Sign("", at, []byte(signedBody)), signedBody, at, false},
		"another time":           {secret, "t=1767225601,v1=" + signedSum, signedBody, at, false},
		"no time":                {secret, "v1=" + signedSum, signedBody, at, false},
		"no time, but its place": {secret, "t=,v1=" + signedSum, signedBody, at, false},
		"part of the sum":        {secret, signed[:len(signed)-2], signedBody, at, false},
		"no sum":                 {secret, "t=1767225600", signedBody, at, false},
		"an empty sum":           {secret, "t=1767225600,v1=", signedBody, at, false},
		"not hex":                {secret, "t=1767225600,v1=x" + signedSum[1:], signedBody, at, false},
		"no header":              {secret, "", signedBody, at, false},
		// The dot between time and body may not wander.
		"time and body cut elsewhere": {secret, "t=1767225600.5,v1=" + sumOf("5.x"), "x", at, false},
	} {
		err := interapp.Verify(c.secret, c.header, []byte(c.body), c.now, tolerance)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, interapp.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is signed is accepted as it is and not with another body; no header
// that was not made by Sign is.
func FuzzVerify(f *testing.F) {
	for _, header := range []string{signed, "", "t=,v1=", "t=1,v1=00", "t=99999999999999999999,v1=", "t=-1,v1=" + signedSum, ",v1=,v1=t="} {
		f.Add(header, []byte(signedBody), "another-secret")
	}
	at := time.Unix(1767225600, 0)
	f.Fuzz(func(t *testing.T, header string, body []byte, key string) {
		own := interapp.Sign(key, at, body)
		if err := interapp.Verify(key, own, body, at, 0); (err == nil) != (key != "") {
			t.Errorf("its own signature: %v", err)
		}
		if interapp.Verify(key, own, append(body, 'x'), at, 0) == nil {
			t.Error("a longer body is accepted")
		}
		if err := interapp.Verify(key+"x", header, body, at, time.Hour); !errors.Is(err, interapp.ErrSignature) {
			t.Errorf("%q: %v", header, err)
		}
	})
}
