package requests

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/notify"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// subscriptions are those of all connectors.
type subscriptions struct {
	set    *connector.Set
	ledger *ledger.Ledger
	poster *notify.Poster
	sender *notify.Sender
}

// Subscribe has a program told of every file that the connector delivers from
// now on and that passes the filters. Errors: *Invalid, connector.ErrUnknown.
func (s subscriptions) Subscribe(ctx context.Context, connector, token string, sub interapp.Subscription) (interapp.Subscription, error) {
	c, err := s.set.Get(connector)
	if err != nil {
		return sub, err
	}
	if _, err := wanted(sub, c.Config().TimeZone.Location); err != nil {
		return sub, err
	}
	if err := s.poster.Check(sub.ReplyTo); err != nil {
		return sub, &Invalid{"reply_to", err.Error()}
	}
	sub.ID, sub.Connector, sub.Created = strings.ToLower(rand.Text()), connector, time.Now().UTC().Truncate(time.Millisecond)
	sub.Space, sub.Pending, sub.Posting = spaceOf(c), 0, nil
	body, err := json.Marshal(sub)
	if err != nil {
		return sub, err
	}
	err = s.ledger.AddSubscription(ctx, ledger.Subscription{
		ID: sub.ID, Connector: connector, Body: string(body), Token: token, ReplyTo: sub.ReplyTo, Created: sub.Created,
	})
	return sub, err
}

// spaceOf gives the Space that a connector imports; "" for none.
func spaceOf(c *connector.Connector) string {
	if s := c.Config().Space; s != nil {
		return s.Name
	}
	return ""
}

// wanted compiles the filters of a subscription. Its error is an *Invalid.
func wanted(sub interapp.Subscription, zone *time.Location) (*filesync.Selection, error) {
	from, err := instant(sub.From, "from", zone)
	if err != nil {
		return nil, err
	}
	to, err := instant(sub.To, "to", zone)
	if err != nil {
		return nil, err
	}
	return compile(sub.FileNameFilter, from, to)
}

// Subscriptions gives those of a connector, oldest first. For a caller whose one
// is not, the query of its reply_to is blank.
func (s subscriptions) Subscriptions(ctx context.Context, by Caller, connector string) ([]interapp.Subscription, error) {
	if _, err := s.set.Get(connector); err != nil {
		return nil, err
	}
	kept, err := s.ledger.Subscriptions(ctx, connector)
	if err != nil {
		return nil, err
	}
	all := []interapp.Subscription{}
	for _, k := range kept {
		sub, err := seen(k, by)
		if err != nil {
			return nil, err
		}
		all = append(all, sub)
	}
	return all, nil
}

// Subscription gives one of a connector as Subscriptions does, or ErrUnknown.
func (s subscriptions) Subscription(ctx context.Context, by Caller, connector, id string) (interapp.Subscription, error) {
	k, err := s.find(ctx, connector, id)
	if err != nil {
		return interapp.Subscription{}, err
	}
	return seen(k, by)
}

// seen is a subscription as the caller may see it.
func seen(k ledger.Subscription, by Caller) (interapp.Subscription, error) {
	sub, err := subscriptionOf(k)
	if !by.owns(k.Token) {
		sub.ReplyTo = withoutQuery(sub.ReplyTo)
	}
	return sub, err
}

func (s subscriptions) find(ctx context.Context, connector, id string) (ledger.Subscription, error) {
	if _, err := s.set.Get(connector); err != nil {
		return ledger.Subscription{}, err
	}
	k, err := s.ledger.Subscription(ctx, id)
	if errors.Is(err, ledger.ErrNoSubscription) || err == nil && k.Connector != connector {
		err = ErrUnknown
	}
	return k, err
}

// own gives an error, ErrUnknown or ErrForeign, unless a subscription is the caller's.
func (s subscriptions) own(ctx context.Context, by Caller, connector, id string) error {
	k, err := s.find(ctx, connector, id)
	if err == nil && !by.owns(k.Token) {
		err = ErrForeign
	}
	return err
}

// Unsubscribe ends a subscription, with what its receiver was not told of yet.
// Errors: ErrUnknown, ErrForeign.
func (s subscriptions) Unsubscribe(ctx context.Context, by Caller, connector, id string) error {
	if err := s.own(ctx, by, connector, id); err != nil {
		return err
	}
	return s.ledger.DeleteSubscription(ctx, id)
}

// DropPending gives up what the receiver of a subscription was not told of yet.
// Errors: ErrUnknown, ErrForeign.
func (s subscriptions) DropPending(ctx context.Context, by Caller, connector, id string) error {
	if err := s.own(ctx, by, connector, id); err != nil {
		return err
	}
	return s.ledger.DropPending(ctx, id, time.Now())
}

// SendDeliveries has what the receiver of a subscription was not told of posted now, also
// if it was never to be tried again. Errors: ErrUnknown, ErrForeign, ErrNothingToSend.
func (s subscriptions) SendDeliveries(ctx context.Context, by Caller, connector, id string) (interapp.Subscription, error) {
	if err := s.own(ctx, by, connector, id); err != nil {
		return interapp.Subscription{}, err
	}
	switch err := s.ledger.SendDeliveries(ctx, id, time.Now()); {
	case errors.Is(err, ledger.ErrNoSubscription): // it went a moment ago
		return interapp.Subscription{}, ErrUnknown
	case errors.Is(err, ledger.ErrNothingPending):
		return interapp.Subscription{}, fmt.Errorf("%w: its receiver was told of everything", ErrNothingToSend)
	case err != nil:
		return interapp.Subscription{}, err
	}
	s.sender.Wake()
	return s.Subscription(ctx, by, connector, id)
}

// subscriptionOf is a subscription as programs see it.
func subscriptionOf(k ledger.Subscription) (interapp.Subscription, error) {
	var sub interapp.Subscription
	if err := json.Unmarshal([]byte(k.Body), &sub); err != nil {
		return sub, fmt.Errorf("subscription %s in the ledger: %w", k.ID, err)
	}
	sub.Pending = k.Pending
	if k.Posting.Tries > 0 {
		sub.Posting = postingOf(k.Posting, false)
	}
	return sub, nil
}
