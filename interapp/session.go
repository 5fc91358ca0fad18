package interapp

import (
	"context"
	"net/http"
	"time"
)

// Session says who the caller is, and what it may do.
type Session struct {
	Name    string     `json:"name" doc:"Of the token; operator for the local operator"`
	Scopes  []string   `json:"scopes" doc:"read, request, apply and configure"`
	Browser bool       `json:"browser" doc:"Signed in by a cookie"`
	Expires *time.Time `json:"expires" doc:"When the browser has to sign in again; null for a token"`
}

// SignInLink is a link that signs a browser in, once.
type SignInLink struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires" doc:"It serves until then, and once"`
}

// Session gives the caller as the server knows it.
func (c *Client) Session(ctx context.Context) (Session, error) {
	var out Session
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "session")
	return out, wrap(err, "session")
}

// SignInLink makes a link that signs a browser in as the caller, once.
func (c *Client) SignInLink(ctx context.Context) (SignInLink, error) {
	var out SignInLink
	err := c.call(ctx, callTimeout, http.MethodPost, nil, nil, &out, "sign-in-links")
	return out, wrap(err, "sign-in link")
}
