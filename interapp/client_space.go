package interapp

import (
	"context"
	"net/http"
)

// Spaces gives the state of all Spaces, in the order of their ids.
func (c *Client) Spaces(ctx context.Context) ([]Space, error) {
	var out SpaceList
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "spaces")
	return out.Spaces, wrap(err, "list Spaces")
}

// Space gives the state of one Space.
func (c *Client) Space(ctx context.Context, id string) (Space, error) {
	var out Space
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "spaces", id)
	return out, wrap(err, "Space "+id)
}

// SpaceFiles gives what is in the inbox of a Space, and a page of what was
// imported from it. A State of the inbox selects files of that alone.
func (c *Client) SpaceFiles(ctx context.Context, id string, q FileQuery) (SpaceFiles, error) {
	var out SpaceFiles
	err := c.call(ctx, callTimeout, http.MethodGet, q.values(), nil, &out, "spaces", id, "files")
	return out, wrap(err, "files of "+id)
}

// RetrySpace has files of a Space imported that were put aside after five
// failures, the named ones or all for none. Its reply has the names of those.
func (c *Client) RetrySpace(ctx context.Context, id string, names []string) (RetryReply, error) {
	var out RetryReply
	err := c.call(ctx, callTimeout, http.MethodPost, nil, RetryRequest{Paths: names}, &out, "spaces", id, "retry")
	return out, wrap(err, "retry "+id)
}

// CreateCredentials makes one more password for a Space. It is to be had this
// once.
func (c *Client) CreateCredentials(ctx context.Context, id string) (NewCredentials, error) {
	var out NewCredentials
	err := c.call(ctx, callTimeout, http.MethodPost, nil, nil, &out, "spaces", id, "credentials")
	return out, wrap(err, "credentials of "+id)
}

// RevokeCredentials ends a password of a Space, or all for "", and the sessions
// of the Space.
func (c *Client) RevokeCredentials(ctx context.Context, id, credential string) (RevokedCredentials, error) {
	path := []string{"spaces", id, "credentials"}
	if credential != "" {
		path = append(path, credential)
	}
	var out RevokedCredentials
	err := c.call(ctx, callTimeout, http.MethodDelete, nil, nil, &out, path...)
	return out, wrap(err, "revoke credentials of "+id)
}

// SendSpaceDeliveries is SendDeliveries for a subscription of a Space.
func (c *Client) SendSpaceDeliveries(ctx context.Context, space, id string) (Subscription, error) {
	var out Subscription
	err := c.call(ctx, callTimeout, http.MethodPost, nil, nil, &out, "spaces", space, "subscriptions", id, "send")
	return out, wrap(err, "send the deliveries of "+id)
}
