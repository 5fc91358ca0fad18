package interapp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader is the header of what is posted to a receiver by which it
// knows the sender: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">, keyed
// with the token of the program that asked to be told.
//
// In a shell, this prints what has to stand after v1=:
//
//	(printf '%s.' "$t"; cat body.json) | openssl dgst -sha256 -hmac "$TOKEN" | sed 's/.* //'
const SignatureHeader = "X-SFTP-Connector-Signature"

// ErrSignature is in the chain of every error of Verify.
var ErrSignature = errors.New("the signature is not accepted")

// Sign gives the SignatureHeader of a body that is sent at the given time.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac(secret, t, body))
}

// Verify checks a SignatureHeader: that who knows the secret sent this very
// body, and signed it no further from now than the tolerance, before or after.
// The empty secret proves nothing and is never accepted.
func Verify(secret, header string, body []byte, now time.Time, tolerance time.Duration) error {
	if secret == "" {
		return fmt.Errorf("%w: there is no secret to check it with", ErrSignature)
	}
	t, sum, ok := strings.Cut(header, ",v1=")
	t, hasTime := strings.CutPrefix(t, "t=")
	seconds, err := strconv.ParseInt(t, 10, 64)
	got, notHex := hex.DecodeString(sum)
	if !ok || !hasTime || err != nil || notHex != nil {
		return fmt.Errorf("%w: %s is missing, or not of the form t=…,v1=…", ErrSignature, SignatureHeader)
	}
	if !hmac.Equal(got, mac(secret, t, body)) {
		return fmt.Errorf("%w: it was made for another body, or with another token", ErrSignature)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > tolerance {
		return fmt.Errorf("%w: it was made %v from now: it is a repetition of an old one, or a clock is wrong", ErrSignature, age.Round(time.Second))
	}
	return nil
}

// mac is what v1 has of a body signed at t.
func mac(secret, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t + "."))
	h.Write(body)
	return h.Sum(nil)
}
