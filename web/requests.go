package web

import (
	"net/http"

	"sftpconnector/interapp"
)

// requestList is requests, of all connectors or of one.
type requestList struct {
	Listed   bool // the daemon tells of them
	Requests []interapp.RequestState
	State    string
	States   []string
	More     string
}

// requestsPage is the page of all requests.
type requestsPage struct {
	requestList
	Connector string
}

func requestStates() []string {
	return []string{interapp.RequestAccepted, interapp.RequestRunning, interapp.RequestReplied, interapp.RequestFailed, interapp.RequestExpired, interapp.RequestCancelled}
}

// requestsOf asks for requests; at is the page that lists them.
func (a *ask) requestsOf(connector, at string) (requestList, error) {
	q := a.URL.Query()
	list := requestList{State: q.Get("state"), States: requestStates()}
	out, err := a.api.Requests(a.Context(), connector, list.State, q.Get("cursor"), perPage)
	if list.Listed, err = optional(err); err != nil {
		return list, err
	}
	list.Requests = out.Requests
	if out.Cursor != "" {
		list.More = at + "?" + query("state", list.State, "connector", q.Get("connector"), "cursor", out.Cursor)
	}
	return list, nil
}

func requests(a *ask) error {
	connector := a.URL.Query().Get("connector")
	list, err := a.requestsOf(connector, "requests")
	if err != nil {
		return err
	}
	a.view.Tab, a.view.Live = "requests", "*"
	return a.show(http.StatusOK, "requests", "Requests", requestsPage{list, connector})
}

// connectorRequestsPage is the Requests page of a connector.
type connectorRequestsPage struct {
	connectorPage
	requestList
	Subscriptions []interapp.Subscription
	Typed         interapp.Request
	Error         string
}

func connectorRequests(a *ask) error {
	return a.connectorRequests(http.StatusOK, interapp.Request{}, "")
}

func (a *ask) connectorRequests(code int, typed interapp.Request, refused string) error {
	base, err := a.connector("requests")
	if err != nil {
		return err
	}
	page := connectorRequestsPage{connectorPage: base, Typed: typed, Error: refused}
	if page.requestList, err = a.requestsOf(base.Name, base.Path+"/requests"); err != nil {
		return err
	}
	page.Subscriptions, err = a.api.Subscriptions(a.Context(), base.Name)
	if code := status(err); code != http.StatusForbidden && code != http.StatusNotFound && err != nil {
		return err
	}
	return a.show(code, "connector-requests", titled(base.Name, "Requests"), page)
}

func startRequest(a *ask) error {
	name, form := a.PathValue("name"), a.PostForm
	asked := interapp.Request{Source: "pages", FileNameFilter: form.Get("file_name_filter"), Timeout: form.Get("timeout")}
	if filter := (interapp.FileTimeFilter{From: form.Get("from"), To: form.Get("to"), NewerThan: form.Get("newer_than")}); filter != (interapp.FileTimeFilter{}) {
		asked.FileTimeFilter = &filter
	}
	out, err := a.api.StartRequest(a.Context(), name, asked)
	if status(err) == http.StatusUnprocessableEntity {
		return a.connectorRequests(http.StatusUnprocessableEntity, asked, reason(err))
	}
	if err != nil {
		return err
	}
	return a.redirect("requests/"+segment(out.ID), "asked")
}

// subscriptions ends one, drops what is pending for it, or sends that now.
func subscriptions(a *ask) error {
	name, id := a.PathValue("name"), a.PostForm.Get("subscription")
	var err error
	var outcome string
	switch a.PostForm.Get("do") {
	case "send":
		_, err = a.api.SendDeliveries(a.Context(), name, id)
		outcome = "sent"
	case "drop":
		err = a.api.DropPending(a.Context(), name, id)
		outcome = "dropped"
	case "end":
		err = a.api.Unsubscribe(a.Context(), name, id)
		outcome = "unsubscribed"
	}
	if err != nil {
		return err
	}
	return a.redirect("connectors/"+segment(name)+"/requests", outcome)
}

func request(a *ask) error {
	out, err := a.api.RequestState(a.Context(), a.PathValue("id"))
	if err != nil {
		return err
	}
	a.view.Tab, a.view.Live = "requests", out.Connector
	a.view.Failing = out.State == interapp.RequestFailed || out.State == interapp.RequestExpired
	return a.show(http.StatusOK, "request", titled("Request "+out.ID, out.State), out)
}

func cancelRequest(a *ask) error {
	id := a.PathValue("id")
	if _, err := a.api.CancelRequest(a.Context(), id); err != nil {
		return err
	}
	return a.redirect("requests/"+segment(id), "cancelled")
}

func sendReply(a *ask) error {
	id := a.PathValue("id")
	if _, err := a.api.SendReply(a.Context(), id); err != nil {
		return err
	}
	return a.redirect("requests/"+segment(id), "sent")
}
