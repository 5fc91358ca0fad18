package interapp

import (
	"context"
	"net/http"
	"net/url"
)

// Configuration gives the configuration file, and what the daemon has loaded of it.
func (c *Client) Configuration(ctx context.Context) (ConfigurationFile, error) {
	var out ConfigurationFile
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "configuration")
	return out, wrap(err, "configuration")
}

// Reload reads the configuration file anew. That the file is refused is no error: it
// is in the Reload.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	var out Reload
	err := c.call(ctx, checkTimeout, http.MethodPost, nil, nil, &out, "reload")
	return out, wrap(err, "reload")
}

// ConnectorConfiguration gives the effective settings of a connector.
func (c *Client) ConnectorConfiguration(ctx context.Context, name string) (ConnectorConfiguration, error) {
	var out ConnectorConfiguration
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "connectors", name, "configuration")
	return out, wrap(err, "configuration of "+name)
}

// ChangeConnector changes the settings of a connector in the configuration file.
func (c *Client) ChangeConnector(ctx context.Context, name string, change ConnectorChange) (ConnectorChanged, error) {
	var out ConnectorChanged
	err := c.call(ctx, checkTimeout, http.MethodPut, nil, change, &out, "connectors", name)
	return out, wrap(err, "change "+name)
}

// CreateConnector adds a connector to the configuration file.
func (c *Client) CreateConnector(ctx context.Context, name string, change ConnectorChange) (ConnectorChanged, error) {
	var out ConnectorChanged
	err := c.call(ctx, checkTimeout, http.MethodPost, nil, change, &out, "connectors", name)
	return out, wrap(err, "create "+name)
}

// RemoveConnector removes a connector from the configuration file; version is that of
// the file. What it has delivered stays where it is.
func (c *Client) RemoveConnector(ctx context.Context, name, version string, dryRun bool) (ConnectorChanged, error) {
	query := url.Values{"version": {version}}
	if dryRun {
		query.Set("dry_run", "true")
	}
	var out ConnectorChanged
	err := c.call(ctx, checkTimeout, http.MethodDelete, query, nil, &out, "connectors", name)
	return out, wrap(err, "remove "+name)
}

// Audit gives a page of the audit, newest first; limit is 1 to 1000, or 0 for the
// server's default. An empty connector means all.
func (c *Client) Audit(ctx context.Context, connector, cursor string, limit int) (AuditPage, error) {
	var out AuditPage
	err := c.call(ctx, callTimeout, http.MethodGet, nonEmpty("connector", connector, "cursor", cursor, "limit", number(limit)), nil, &out, "audit")
	return out, wrap(err, "audit")
}

// Requests gives a page of requests, newest first, of a connector or, for "", of all;
// state may be "".
func (c *Client) Requests(ctx context.Context, connector, state, cursor string, limit int) (RequestPage, error) {
	var out RequestPage
	err := c.call(ctx, callTimeout, http.MethodGet, nonEmpty("connector", connector, "state", state, "cursor", cursor, "limit", number(limit)), nil, &out, "requests")
	return out, wrap(err, "requests")
}

// SendReply posts the reply of a request to its reply_to once more, now.
func (c *Client) SendReply(ctx context.Context, id string) (RequestState, error) {
	var out RequestState
	err := c.call(ctx, callTimeout, http.MethodPost, nil, nil, &out, "requests", id, "send")
	return out, wrap(err, "send the reply of "+id)
}

// SendDeliveries posts what a subscription has to be told, now, though it waits for
// its next try.
func (c *Client) SendDeliveries(ctx context.Context, connector, id string) (Subscription, error) {
	var out Subscription
	err := c.call(ctx, callTimeout, http.MethodPost, nil, nil, &out, "connectors", connector, "subscriptions", id, "send")
	return out, wrap(err, "send the deliveries of "+id)
}

// HostKey asks the server of a connector for its host key. It logs in nowhere.
func (c *Client) HostKey(ctx context.Context, name string) (ServerHostKey, error) {
	var out ServerHostKey
	err := c.call(ctx, checkTimeout, http.MethodGet, nil, nil, &out, "connectors", name, "host-key")
	return out, wrap(err, "host key of "+name)
}

// Trust remembers the host key with the fingerprint.
func (c *Client) Trust(ctx context.Context, name string, t TrustRequest) (ServerHostKey, error) {
	var out ServerHostKey
	err := c.call(ctx, checkTimeout, http.MethodPost, nil, t, &out, "connectors", name, "trust")
	return out, wrap(err, "trust "+name)
}

// Listing gives what a pass would see: up to limit files, 1 to 10000, or 0 for the
// server's default. It copies nothing.
func (c *Client) Listing(ctx context.Context, name string, limit int) (Listing, error) {
	var out Listing
	err := c.call(ctx, MaxWait, http.MethodGet, nonEmpty("limit", number(limit)), nil, &out, "connectors", name, "listing")
	return out, wrap(err, "listing of "+name)
}

// Pause keeps a connector from doing anything until it is resumed; a pass under way
// ends first.
func (c *Client) Pause(ctx context.Context, name, reason string) (Connector, error) {
	var out Connector
	err := c.call(ctx, callTimeout, http.MethodPost, nil, PauseRequest{Reason: reason}, &out, "connectors", name, "pause")
	return out, wrap(err, "pause "+name)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, name string) (Connector, error) {
	var out Connector
	err := c.call(ctx, callTimeout, http.MethodPost, nil, nil, &out, "connectors", name, "resume")
	return out, wrap(err, "resume "+name)
}

// Schedule gives the schedule of a connector, with its next runs.
func (c *Client) Schedule(ctx context.Context, name string) (Schedule, error) {
	var out Schedule
	err := c.call(ctx, callTimeout, http.MethodGet, nil, nil, &out, "connectors", name, "schedule")
	return out, wrap(err, "schedule of "+name)
}

// PreviewSchedule gives the next runs of a schedule that is not set.
func (c *Client) PreviewSchedule(ctx context.Context, name, schedule string) (Schedule, error) {
	var out Schedule
	err := c.call(ctx, callTimeout, http.MethodGet, url.Values{"automatic_sftp_file_sync": {schedule}}, nil, &out, "connectors", name, "schedule")
	return out, wrap(err, "preview the schedule of "+name)
}

// UseFileSchedule forgets a schedule that was set over the API: the file's counts.
func (c *Client) UseFileSchedule(ctx context.Context, name string) (Schedule, error) {
	var out Schedule
	err := c.call(ctx, callTimeout, http.MethodDelete, nil, nil, &out, "connectors", name, "schedule")
	return out, wrap(err, "schedule of "+name)
}

// nonEmpty makes a query of the pairs whose value is not empty.
func nonEmpty(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}
