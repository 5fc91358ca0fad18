package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// spaceSubscriptionRoutes are who is told of imports.
type spaceSubscriptionRoutes struct{ subscriptionRoutes }

// add registers the operations.
func (s spaceSubscriptionRoutes) add(api huma.API) {
	const all = pathSpace + "/subscriptions"
	const one = all + "/{subscription}"
	register(s.Server, api, scopes{config.ScopeRequest}, huma.Operation{
		OperationID: "subscribe-space", Method: http.MethodPost, Path: all, Tags: []string{tagSpaces}, DefaultStatus: http.StatusCreated,
		Summary:     "Be told of imported files",
		Description: "Every file that is imported from now on and that passes the filters is posted to reply_to, as with the subscriptions of a connector.",
		Errors:      []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *spaceSubscribeInput) (*subscribeOutput, error) {
		named, err := s.named(in.ID)
		if err != nil {
			return nil, err
		}
		return s.subscribe(ctx, &subscribeInput{named, in.Body})
	})
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "list-space-subscriptions", Method: http.MethodGet, Path: all, Tags: []string{tagSpaces},
		Summary: "The subscriptions of a Space", Description: "Oldest first, with what their receivers were not told of yet." + queryIsBlank,
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *Spaced) (*answer[interapp.SubscriptionList], error) {
		named, err := s.named(in.ID)
		if err != nil {
			return nil, err
		}
		return s.listSubscriptions(ctx, &named)
	})
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "get-space-subscription", Method: http.MethodGet, Path: one, Tags: []string{tagSpaces},
		Summary: "A subscription of a Space", Description: "With how many files its receiver was not told of yet, and why." + queryIsBlank,
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, ofSpace(s, s.getSubscription))
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "unsubscribe-space", Method: http.MethodDelete, Path: one, Tags: []string{tagSpaces},
		Summary: "End a subscription of a Space", Description: "Nothing is posted any more, nor what its receiver was not told of yet." + ownersOnly,
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, ofSpace(s, s.unsubscribe))
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "drop-space-pending", Method: http.MethodDelete, Path: one + "/pending", Tags: []string{tagSpaces},
		Summary: "Give up what cannot be told of", Description: "The receiver is never told of what it was not told of yet. The subscription goes on." + ownersOnly,
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, ofSpace(s, s.dropPending))
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "send-space-deliveries", Method: http.MethodPost, Path: one + "/send", Tags: []string{tagSpaces},
		Summary: "Tell of imports now", Description: sendsNow + ownersOnly,
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, ofSpace(s, s.sendDeliveries))
}

type spaceSubscribeInput struct {
	Spaced
	Body interapp.Subscription
}

type spaceSubscribed struct {
	Spaced
	Subscription string `path:"subscription" maxLength:"200" doc:"The id of the subscription"`
}

// named is a Space as the operations on connectors take it. Its error is that of
// connector.
func (s spaceSubscriptionRoutes) named(id string) (Named, error) {
	_, err := s.connector(id)
	return Named{interapp.SpaceConnector(id)}, err
}

// ofSpace makes an operation on a connector's subscription one on a Space's.
func ofSpace[O any](s spaceSubscriptionRoutes, handle func(context.Context, *Subscribed) (*O, error)) func(context.Context, *spaceSubscribed) (*O, error) {
	return func(ctx context.Context, in *spaceSubscribed) (*O, error) {
		named, err := s.named(in.ID)
		if err != nil {
			return nil, err
		}
		return handle(ctx, &Subscribed{named, in.Subscription})
	}
}
