package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/interapp/notify"
	"sftpconnector/sync/ledger"
)

// What a posting is, told by its ID.
const (
	replyPrefix        = "reply:"
	subscriptionPrefix = "subscription:"
)

// retryUnknown is how long what a subscriber is to be told of waits while its
// connector is not configured.
const retryUnknown = 5 * time.Minute

// maxTold is how many deliveries one posting tells of, and how many are read for it.
const maxTold = 500

// outbox is the ledger as the queue of postings sees it.
type outbox struct{ *Service }

// Due implements notify.Store.
func (o outbox) Due(ctx context.Context, now time.Time, limit int) ([]notify.Posting, time.Time, error) {
	replies, next, err := o.ledger.DueReplies(ctx, now, limit)
	if err != nil {
		return nil, next, err
	}
	subscriptions, later, err := o.ledger.DueSubscriptions(ctx, now, limit)
	if err != nil {
		return nil, next, err
	}
	if next.IsZero() || !later.IsZero() && later.Before(next) {
		next = later
	}
	type waiting struct {
		notify.Posting
		since time.Time
	}
	var all []waiting
	for _, r := range replies {
		all = append(all, waiting{notify.Posting{ID: replyPrefix + r.ID, URL: r.ReplyTo, Tries: r.Posting.Tries}, r.Posting.Next})
	}
	for _, s := range subscriptions {
		all = append(all, waiting{notify.Posting{ID: subscriptionPrefix + s.ID, URL: s.ReplyTo, Tries: s.Posting.Tries}, s.Posting.Next})
	}
	slices.SortStableFunc(all, func(a, b waiting) int { return a.since.Compare(b.since) })
	var due []notify.Posting
	for _, w := range all[:min(limit, len(all))] {
		due = append(due, w.Posting)
	}
	return due, next, nil
}

// Load implements notify.Store.
func (o outbox) Load(ctx context.Context, p notify.Posting) (notify.Message, bool, error) {
	if id, ok := strings.CutPrefix(p.ID, replyPrefix); ok {
		r, err := o.ledger.Request(ctx, id)
		if errors.Is(err, ledger.ErrNoRequest) {
			return notify.Message{}, false, nil
		}
		return notify.Message{URL: r.ReplyTo, Event: interapp.EventReply, Key: r.ID, Token: r.Token, Body: []byte(r.Reply)}, err == nil, err
	}
	sub, err := o.ledger.Subscription(ctx, strings.TrimPrefix(p.ID, subscriptionPrefix))
	if errors.Is(err, ledger.ErrNoSubscription) {
		return notify.Message{}, false, nil
	}
	if err != nil {
		return notify.Message{}, false, err
	}
	return o.deliveries(ctx, sub)
}

// deliveries is what a subscriber is to be told of next. What it does not want
// is passed over.
func (o outbox) deliveries(ctx context.Context, sub ledger.Subscription) (m notify.Message, ok bool, err error) {
	e, err := o.set.Get(sub.Connector)
	if err != nil {
		// It is configured no more: whatever is in the log can wait until it is again.
		return m, false, o.ledger.SubscriptionFailed(ctx, sub.ID, max(sub.Posting.Tries, 1), time.Now().Add(retryUnknown), err.Error())
	}
	asked, err := subscriptionOf(sub)
	if err != nil {
		return m, false, err
	}
	sel, err := wanted(asked, e.Config().TimeZone.Location)
	if err != nil {
		return m, false, err
	}
	sel = sel.Below(filepath.ToSlash(e.Config().Files.SourceDirectoryPath))
	told := interapp.Deliveries{Subscription: sub.ID, Connector: sub.Connector, Space: spaceOf(e), Destination: e.Config().Files.DestinationDirectoryPath}
	for cursor := sub.Cursor; ; {
		rows, err := o.ledger.Deliveries(ctx, sub.ID, cursor, maxTold)
		if err != nil || len(rows) == 0 {
			return m, false, err
		}
		for _, d := range rows {
			if sel.Match(d.Source) {
				told.Files = append(told.Files, fileOf(d))
			}
		}
		cursor = rows[len(rows)-1].Sequence
		if len(told.Files) > 0 {
			body, err := json.Marshal(told)
			return notify.Message{
				URL: sub.ReplyTo, Event: interapp.EventDeliveries, Key: fmt.Sprintf("%s-%d", sub.ID, cursor), Token: sub.Token, Body: body,
			}, true, err
		}
		if err := o.ledger.Advance(ctx, sub.ID, cursor, time.Now()); err != nil {
			return m, false, err
		}
	}
}

func fileOf(d ledger.LoggedDelivery) interapp.DeliveryFile {
	f := interapp.DeliveryFile{Sequence: d.Sequence, DeliveredAt: d.At}
	f.ReplyFile = interapp.ReplyFile{Name: d.Target, SourceName: d.Source.Name, Size: d.Source.Size, Status: "copied"}
	if d.Adopted {
		f.Status = "present"
	}
	if !d.Source.ModTime.IsZero() {
		f.ModTime = &d.Source.ModTime
	}
	return f
}

// Posted implements notify.Store.
func (o outbox) Posted(ctx context.Context, p notify.Posting, m notify.Message) error {
	if id, ok := strings.CutPrefix(p.ID, replyPrefix); ok {
		return o.ledger.ReplyPosted(ctx, id)
	}
	id := strings.TrimPrefix(p.ID, subscriptionPrefix)
	cursor, err := strconv.ParseInt(strings.TrimPrefix(m.Key, id+"-"), 10, 64)
	if err != nil {
		return fmt.Errorf("key %q of subscription %s: %w", m.Key, id, err)
	}
	if err := o.ledger.Advance(ctx, id, cursor, time.Now()); err != nil && !errors.Is(err, ledger.ErrNoSubscription) {
		return err
	}
	o.queue.Wake() // there may be more
	return nil
}

// Failed implements notify.Store.
func (o outbox) Failed(ctx context.Context, p notify.Posting, next time.Time, text string) error {
	if id, ok := strings.CutPrefix(p.ID, replyPrefix); ok {
		return o.ledger.ReplyFailed(ctx, id, p.Tries, next, text)
	}
	return o.ledger.SubscriptionFailed(ctx, strings.TrimPrefix(p.ID, subscriptionPrefix), p.Tries, next, text)
}
