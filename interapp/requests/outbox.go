package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/interapp"
	"sftpconnector/interapp/notify"
	"sftpconnector/sync/ledger"
)

// maxDeliveries is how many deliveries one posting tells of, and how many are read for it.
const maxDeliveries = 500

// outbox is the ledger's outbox with what the rows stand for.
type outbox struct {
	ledger.Outbox
	*Service
}

// Load implements notify.Outbox.
func (o outbox) Load(ctx context.Context, r ledger.OutboxRow) (m notify.Message, ok bool, err error) {
	switch r.Kind {
	case ledger.KindReply:
		var kept ledger.Request
		kept, err = o.ledger.Request(ctx, r.ID)
		m, ok = notify.Message{URL: r.URL, Event: interapp.EventReply, Key: r.ID, Token: kept.Token, Body: []byte(kept.Reply)}, err == nil
	case ledger.KindSubscription:
		var sub ledger.Subscription
		if sub, err = o.ledger.Subscription(ctx, r.ID); err == nil {
			m, ok, err = o.deliveries(ctx, r, sub)
		}
	default:
		err = fmt.Errorf("this program posts no %s: use a newer one", r.Kind)
	}
	if errors.Is(err, ledger.ErrNoRequest) || errors.Is(err, ledger.ErrNoSubscription) {
		err = o.Drop(ctx, r) // what it was about is gone
	}
	return m, ok, err
}

// deliveries is what a subscriber is to be told of next. What it does not want
// is passed over.
func (o outbox) deliveries(ctx context.Context, r ledger.OutboxRow, sub ledger.Subscription) (m notify.Message, ok bool, err error) {
	c, err := o.set.Get(sub.Connector)
	if err != nil {
		// It is configured no more: whatever is in the log can wait until it is again.
		r.Tries = max(r.Tries, 1)
		return m, false, o.Failed(ctx, r, time.Now().Add(backoff.Unconfigured.Wait(1)), err.Error())
	}
	asked, err := subscriptionOf(sub)
	if err != nil {
		return m, false, err
	}
	sel, err := wanted(asked, c.Config().TimeZone.Location)
	if err != nil {
		return m, false, err
	}
	sel = sel.Below(filepath.ToSlash(c.Config().Files.SourceDirectoryPath))
	deliveries := interapp.Deliveries{Subscription: sub.ID, Connector: sub.Connector, Space: spaceOf(c), Destination: c.Config().Files.DestinationDirectoryPath}
	for cursor := sub.Cursor; ; {
		rows, err := o.ledger.Deliveries(ctx, sub.ID, cursor, maxDeliveries)
		if err != nil {
			return m, false, err
		}
		if len(rows) == 0 { // the row goes with that
			return m, false, o.ledger.Advance(ctx, sub.ID, cursor, time.Now())
		}
		for _, d := range rows {
			if sel.Match(d.Source) {
				deliveries.Files = append(deliveries.Files, fileOf(d))
			}
		}
		cursor = rows[len(rows)-1].Sequence
		if len(deliveries.Files) > 0 {
			body, err := json.Marshal(deliveries)
			return notify.Message{
				URL: r.URL, Event: interapp.EventDeliveries, Key: fmt.Sprintf("%s-%d", sub.ID, cursor), Token: sub.Token, Body: body, Cursor: cursor,
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

// Posted implements notify.Outbox.
func (o outbox) Posted(ctx context.Context, r ledger.OutboxRow, m notify.Message) error {
	if r.Kind == ledger.KindReply {
		return o.ledger.ReplyPosted(ctx, r.ID)
	}
	if err := o.ledger.Advance(ctx, r.ID, m.Cursor, time.Now()); err != nil && !errors.Is(err, ledger.ErrNoSubscription) {
		return err
	}
	return nil
}
