package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// Subscribed is what every operation on one subscription takes. It is exported
// as Named is.
type Subscribed struct {
	Named
	ID string `path:"id" maxLength:"200" doc:"The id of the subscription"`
}

// subscriptionRoutes are who is told of deliveries.
type subscriptionRoutes struct{ *Server }

// add registers the operations.
func (s subscriptionRoutes) add(api huma.API) {
	const all = pathConnector + "/subscriptions"
	const one = all + "/{id}"
	register(s.Server, api, scopes{config.ScopeRequest}, huma.Operation{
		OperationID: "subscribe", Method: http.MethodPost, Path: all, Tags: []string{tagRequests}, DefaultStatus: http.StatusCreated,
		Summary: "Be told of delivered files",
		Description: "Every file that the connector delivers from now on and that passes the filters is posted to reply_to, at least once and in the order of delivery, across restarts. " +
			"The same subscription twice is two subscriptions.",
		Errors: []int{http.StatusNotFound},
	}, s.subscribe)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "list-subscriptions", Method: http.MethodGet, Path: all, Tags: []string{tagRequests},
		Summary: "The subscriptions of a connector", Description: "Oldest first, with what their receivers were not told of yet." + queryIsBlank,
		Errors: []int{http.StatusNotFound},
	}, s.listSubscriptions)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "get-subscription", Method: http.MethodGet, Path: one, Tags: []string{tagRequests},
		Summary: "A subscription", Description: "With how many deliveries its receiver was not told of yet, and why." + queryIsBlank,
		Errors: []int{http.StatusNotFound},
	}, s.getSubscription)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "unsubscribe", Method: http.MethodDelete, Path: one, Tags: []string{tagRequests},
		Summary: "End a subscription", Description: "Nothing is posted any more, nor what its receiver was not told of yet." + ownersOnly,
		Errors: []int{http.StatusNotFound},
	}, s.unsubscribe)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "drop-pending", Method: http.MethodDelete, Path: one + "/pending", Tags: []string{tagRequests},
		Summary: "Give up what cannot be delivered", Description: "The receiver is never told of what it was not told of yet. The subscription goes on." + ownersOnly,
		Errors: []int{http.StatusNotFound},
	}, s.dropPending)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "send-deliveries", Method: http.MethodPost, Path: one + "/send", Tags: []string{tagRequests},
		Summary: "Tell of deliveries now", Description: sendsNow + ownersOnly,
		Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, s.sendDeliveries)
}

// sendsNow describes send.
const sendsNow = "Posts what waits for its next try now, in the order of delivery, also to a receiver that is not tried any more."

type subscribeInput struct {
	Named
	Body interapp.Subscription
}

type subscribeOutput struct {
	Location string `header:"Location" doc:"The subscription"`
	Body     interapp.Subscription
}

func (s subscriptionRoutes) subscribe(ctx context.Context, in *subscribeInput) (*subscribeOutput, error) {
	sub, err := s.requests.Subscribe(ctx, in.Name, callerOf(ctx).name, in.Body)
	noteDetail(ctx, "%s", wish(sub.ID, in.Body.FileNameFilter, in.Body.Source))
	at := pathConnectors + "/" + segment(in.Name)
	if sub.Space != "" {
		at = pathSpaces + "/" + segment(sub.Space)
	}
	return &subscribeOutput{Location: at + "/subscriptions/" + segment(sub.ID), Body: sub}, err
}

func (s subscriptionRoutes) listSubscriptions(ctx context.Context, in *Named) (*answer[interapp.SubscriptionList], error) {
	all, err := s.requests.Subscriptions(ctx, callerOf(ctx).asker(), in.Name)
	return &answer[interapp.SubscriptionList]{interapp.SubscriptionList{Subscriptions: all}}, err
}

func (s subscriptionRoutes) getSubscription(ctx context.Context, in *Subscribed) (*answer[interapp.Subscription], error) {
	sub, err := s.requests.Subscription(ctx, callerOf(ctx).asker(), in.Name, in.ID)
	return &answer[interapp.Subscription]{sub}, in.explain(err)
}

func (s subscriptionRoutes) unsubscribe(ctx context.Context, in *Subscribed) (*struct{}, error) {
	return nil, in.explain(s.requests.Unsubscribe(ctx, callerOf(ctx).asker(), in.Name, in.ID))
}

func (s subscriptionRoutes) dropPending(ctx context.Context, in *Subscribed) (*struct{}, error) {
	return nil, in.explain(s.requests.DropPending(ctx, callerOf(ctx).asker(), in.Name, in.ID))
}

func (s subscriptionRoutes) sendDeliveries(ctx context.Context, in *Subscribed) (*answer[interapp.Subscription], error) {
	sub, err := s.requests.SendDeliveries(ctx, callerOf(ctx).asker(), in.Name, in.ID)
	return &answer[interapp.Subscription]{sub}, in.explain(err)
}

// explain says which subscription an error is about.
func (in *Subscribed) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("subscription %q: %w", in.ID, err)
}
