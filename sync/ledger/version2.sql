-- From version 1 to 2: the number of a pass is never used again, and there are
-- requests and subscriptions.
ALTER TABLE passes RENAME TO old_passes;
CREATE TABLE passes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- files name it: never used again
    connector  INTEGER NOT NULL REFERENCES connectors,
    mode       TEXT    NOT NULL,
    state      TEXT    NOT NULL, -- running until it ends
    started    INTEGER NOT NULL, -- unix milliseconds
    finished   INTEGER NOT NULL DEFAULT 0,
    status     TEXT    NOT NULL DEFAULT '', -- the connection status at its end
    error      TEXT    NOT NULL DEFAULT '',
    counts     TEXT    NOT NULL DEFAULT '{}', -- JSON
    idle       INTEGER NOT NULL DEFAULT 0 -- it found nothing to do
);
INSERT INTO passes SELECT * FROM old_passes;
DROP TABLE old_passes;
CREATE INDEX passes_by_connector ON passes (connector, id);
CREATE INDEX passes_running      ON passes (connector) WHERE state = 'running';
CREATE INDEX passes_by_age       ON passes (connector, started);

-- What other programs asked for. The rowids are in the order of acceptance.
CREATE TABLE requests (
    id        TEXT    NOT NULL PRIMARY KEY, -- chosen by who asks
    connector INTEGER NOT NULL REFERENCES connectors,
    state     TEXT    NOT NULL, -- accepted, running, or final
    accepted  INTEGER NOT NULL, -- unix milliseconds, as all of these times
    deadline  INTEGER NOT NULL,
    finished  INTEGER NOT NULL DEFAULT 0,
    token     TEXT    NOT NULL, -- the name of the caller's
    reply_to  TEXT    NOT NULL,
    posted    INTEGER NOT NULL DEFAULT 0,
    tries     INTEGER NOT NULL DEFAULT 0,
    next      INTEGER, -- when the reply is posted; NULL for never
    error     TEXT    NOT NULL DEFAULT '', -- of the last try
    body      TEXT    NOT NULL, -- JSON, as is the reply
    reply     TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX requests_by_connector ON requests (connector);
CREATE INDEX requests_open ON requests (state) WHERE state IN ('accepted', 'running');
CREATE INDEX requests_due  ON requests (reply_to, next) WHERE next IS NOT NULL;

-- Who is told of deliveries.
CREATE TABLE subscriptions (
    id        TEXT    NOT NULL PRIMARY KEY,
    connector INTEGER NOT NULL REFERENCES connectors,
    created   INTEGER NOT NULL,
    token     TEXT    NOT NULL,
    reply_to  TEXT    NOT NULL,
    body      TEXT    NOT NULL, -- JSON
    cursor    INTEGER NOT NULL, -- the last delivery that the receiver has
    tries     INTEGER NOT NULL DEFAULT 0, -- of what comes next
    next      INTEGER, -- no posting before then; NULL for never again
    error     TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX subscriptions_by_connector ON subscriptions (connector, cursor);

-- The log that subscriptions read: only of connectors that have some, and only
-- what one of them has not passed yet.
CREATE TABLE deliveries (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, as receivers know it
    connector INTEGER NOT NULL,
    path      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    mtime     INTEGER NOT NULL,
    target    TEXT    NOT NULL, -- '' when it is the path
    adopted   INTEGER NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX deliveries_by_connector ON deliveries (connector);
