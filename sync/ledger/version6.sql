-- From version 5 to 6: what is to be posted is in one table, whatever it is about.
CREATE TABLE outbox (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT, -- first tries of a lane are in this order
    kind     TEXT    NOT NULL, -- reply or subscription
    id       TEXT    NOT NULL, -- of the request or the subscription
    url      TEXT    NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 0, -- that failed
    next     INTEGER, -- no try before then, in unix milliseconds; NULL for never again
    error    TEXT    NOT NULL DEFAULT '', -- of the last try
    receiver TEXT    NOT NULL AS (substr(url, 1, instr(url || '?', '?') - 1)), -- callers number their requests in the query
    host     TEXT    NOT NULL AS (substr(receiver, 1, instr(url, '://') + 1 + instr(substr(receiver, instr(url, '://') + 3) || '/', '/'))),
    UNIQUE (kind, id)
);
CREATE INDEX outbox_lanes ON outbox (host, kind, receiver, next, tries) WHERE next IS NOT NULL;
CREATE INDEX outbox_tried ON outbox (next) WHERE tries > 0;

INSERT INTO outbox (kind, id, url, tries, next, error)
    SELECT 'reply', id, reply_to, tries, next, error FROM requests
    WHERE finished > 0 AND reply_to <> '' AND NOT posted ORDER BY next, rowid;
-- A subscription is in the outbox while it has deliveries to be told of, or is never told again.
INSERT INTO outbox (kind, id, url, tries, next, error)
    SELECT 'subscription', s.id, s.reply_to, s.tries, s.next, s.error FROM subscriptions s
    WHERE s.next IS NULL OR EXISTS (SELECT 1 FROM deliveries d WHERE d.connector = s.connector AND d.sequence > s.cursor)
    ORDER BY s.next, s.rowid;

UPDATE requests SET posted = max(tries, 1) WHERE posted;
DROP INDEX requests_due;
ALTER TABLE requests DROP COLUMN tries;
ALTER TABLE requests DROP COLUMN next;
ALTER TABLE requests DROP COLUMN error;
ALTER TABLE subscriptions DROP COLUMN tries;
ALTER TABLE subscriptions DROP COLUMN next;
ALTER TABLE subscriptions DROP COLUMN error;
