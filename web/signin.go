package web

import "net/http"

// signInPage is the form that signs in.
type signInPage struct {
	Next  string
	Error string
}

// signInErrors are why a sign-in failed, by the code in the address.
var signInErrors = map[string]string{
	"1":    "The token is not one that this program knows: check it for a typing error, or whether it was replaced.",
	"link": "The link was used before, or is too old: make another one with 'sftp-connector open'.",
}

func signIn(a *ask) error {
	q := a.URL.Query()
	return a.show(http.StatusOK, "sign-in", "Sign in", signInPage{q.Get("next"), signInErrors[q.Get("failed")]})
}
