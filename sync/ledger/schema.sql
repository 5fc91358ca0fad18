-- paused_at is in unix milliseconds, and 0 when it is not paused.
CREATE TABLE connectors (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    -- automatic_sftp_file_sync as set through the API, and what the file said then
    schedule TEXT NOT NULL DEFAULT '',
    schedule_over TEXT NOT NULL DEFAULT '',
    source   TEXT NOT NULL DEFAULT '', -- whose files these are: the server, the user, the directory
    sweep    INTEGER NOT NULL DEFAULT 0 -- a killed pass may have left pending files
, paused_at INTEGER NOT NULL DEFAULT 0, paused_by TEXT NOT NULL DEFAULT '', pause_reason TEXT NOT NULL DEFAULT '');

-- Whose passes may write, and the numbers of what they write.
CREATE TABLE leases (
    connector INTEGER PRIMARY KEY REFERENCES connectors,
    holder    TEXT    NOT NULL, -- the process; '' before the first
    epoch     INTEGER NOT NULL, -- how many processes had it so far
    seq       INTEGER NOT NULL -- the last number that was drawn
);

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
, pair INTEGER NOT NULL DEFAULT 0);
CREATE INDEX passes_by_connector ON passes (connector, id);
CREATE INDEX passes_running      ON passes (connector) WHERE state = 'running';
CREATE INDEX passes_by_age       ON passes (connector, started);

-- One row a path: the last version that was delivered. The pair is the source and the
-- destination of the connector, of which there is one, 0; copy is which of its names at the
-- destination, of which each file has one, 0. How its after_copy ended is in
-- after; as long as it is owed, that is 1, and owed has a row.
CREATE TABLE files (
    id          INTEGER PRIMARY KEY,
    connector   INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    size        INTEGER NOT NULL,
    mtime       INTEGER NOT NULL, -- unix seconds, as SFTP 3 gives them
    target      TEXT    NOT NULL, -- '' when it is the path
    target_time INTEGER NOT NULL, -- unix seconds of the standing file
    key         TEXT,             -- of a target name that others must not share
    adopted     INTEGER NOT NULL,
    after       INTEGER NOT NULL,
    pass        INTEGER NOT NULL,
    at          INTEGER NOT NULL, -- unix milliseconds
    gone        INTEGER NOT NULL DEFAULT 0 -- unix milliseconds of the listing that missed it
, version TEXT NOT NULL DEFAULT '', seq INTEGER NOT NULL DEFAULT 0, pair INTEGER NOT NULL DEFAULT 0, copy INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX files_by_path ON files (connector, pair, path, copy);
CREATE INDEX files_by_key   ON files (connector, pair, key) WHERE key IS NOT NULL;
CREATE INDEX files_by_connector ON files (connector, adopted); -- with the id, for pages
CREATE INDEX files_by_gone  ON files (connector, gone, pair); -- covers the scan of a pass's end

-- One row a file whose original is still to be removed or moved.
CREATE TABLE owed (
    file      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    connector INTEGER NOT NULL,
    pair      INTEGER NOT NULL DEFAULT 0,
    after     INTEGER NOT NULL -- how far after_copy has come
);
CREATE INDEX owed_by_connector ON owed (connector, pair); -- with the file, for their order

-- One row a path that cannot be delivered now.
CREATE TABLE failures (
    id          INTEGER PRIMARY KEY,
    connector   INTEGER NOT NULL,
    pair        INTEGER NOT NULL DEFAULT 0,
    path        TEXT    NOT NULL,
    size        INTEGER NOT NULL,
    mtime       INTEGER NOT NULL,
    version     TEXT    NOT NULL DEFAULT '',
    tries       INTEGER NOT NULL,
    next        INTEGER NOT NULL, -- unix milliseconds
    quarantined INTEGER NOT NULL,
    conflict    INTEGER NOT NULL,
    discards    INTEGER NOT NULL DEFAULT 0, -- passes in a row that read and discarded it
    error       TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    seq         INTEGER NOT NULL DEFAULT 0,
    UNIQUE (connector, pair, path)
);
CREATE INDEX failures_by_connector ON failures (connector, quarantined, conflict); -- with the id, for pages
CREATE INDEX failures_discarded ON failures (connector) WHERE discards > 0;

-- Batches that are about to get their names.
CREATE TABLE intents (
    id        INTEGER PRIMARY KEY,
    connector INTEGER NOT NULL,
    batch     TEXT    NOT NULL -- JSON
, pair INTEGER NOT NULL DEFAULT 0);
CREATE INDEX intents_by_connector ON intents (connector, pair);

-- Interrupted copies that can go on.
CREATE TABLE checkpoints (
    connector INTEGER NOT NULL,
    pair      INTEGER NOT NULL DEFAULT 0,
    path      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    mtime     INTEGER NOT NULL,
    version   TEXT    NOT NULL DEFAULT '',
    pending   TEXT    NOT NULL,
    prefix    INTEGER NOT NULL, in_place INTEGER,
    PRIMARY KEY (connector, pair, path)
) WITHOUT ROWID;

-- What other programs asked for. The rowids are in the order of acceptance; posted
-- is how many tries it took to post the reply, 0 if that is still to come.
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
    body      TEXT    NOT NULL, -- JSON, as is the reply
    reply     TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX requests_by_connector ON requests (connector);
CREATE INDEX requests_by_state ON requests (state); -- with the rowid, for pages

-- Who is told of deliveries; the cursor is the last that the receiver has.
CREATE TABLE subscriptions (
    id        TEXT    NOT NULL PRIMARY KEY,
    connector INTEGER NOT NULL REFERENCES connectors,
    created   INTEGER NOT NULL,
    token     TEXT    NOT NULL,
    reply_to  TEXT    NOT NULL,
    body      TEXT    NOT NULL, -- JSON
    cursor    INTEGER NOT NULL);
CREATE INDEX subscriptions_by_connector ON subscriptions (connector, cursor);

-- What is to be posted, whatever it is about. A subscription is here while it has
-- deliveries to be told of, or is never told again.
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

CREATE TABLE fruitless (
    connector INTEGER PRIMARY KEY REFERENCES connectors,
    passes    INTEGER NOT NULL -- in a row that could deliver nothing
);

-- What retention knows of the clock.
CREATE TABLE clocks (
    connector INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL, -- unix milliseconds: it has been steady from here
    seen      INTEGER NOT NULL -- to here
);

-- The index of a Space's spool: what its clients see as directories and files.
CREATE TABLE spool (
    connector INTEGER NOT NULL REFERENCES connectors,
    id        INTEGER NOT NULL, -- uploads of one name are in the order in which they were accepted
    parent    INTEGER NOT NULL, -- the id of the directory; 0 for the top
    name      TEXT    NOT NULL, -- '' for the top itself
    state     TEXT    NOT NULL, -- directory, partial, received, removed, or moving from origin
    object    TEXT    NOT NULL, -- '' for a directory
    size      INTEGER NOT NULL, -- bytes; of a partial upload those that are durable
    mtime     INTEGER NOT NULL, -- unix seconds
    changed   INTEGER NOT NULL, -- unix milliseconds
    origin    TEXT    NOT NULL, -- its name in an inbox of version 3; '' for none
    PRIMARY KEY (connector, id)
) WITHOUT ROWID;

-- Logins that servers have refused, and that are not tried again soon.
CREATE TABLE holds (
    connector INTEGER NOT NULL REFERENCES connectors,
    pair      INTEGER NOT NULL DEFAULT 0,
    side      TEXT    NOT NULL, -- source or destination
    login     TEXT    NOT NULL, -- tells it from other logins
    refused   INTEGER NOT NULL, -- times in a row
    until     INTEGER NOT NULL, -- unix milliseconds
    word      TEXT    NOT NULL, -- the connection status, and its hint
    hint      TEXT    NOT NULL,
    PRIMARY KEY (connector, pair, side)
) WITHOUT ROWID;

-- What was learnt of servers, so that it is not learnt at each start.
CREATE TABLE servers (
    server TEXT    NOT NULL PRIMARY KEY, -- user@host:port
    limits TEXT    NOT NULL, -- a document of the store
    at     INTEGER NOT NULL -- unix milliseconds: when it was written
) WITHOUT ROWID;

-- Who changed what, or fetched credentials: the newest of it.
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY, -- without gaps, as only the oldest go
    at        INTEGER NOT NULL, -- unix milliseconds
    who       TEXT    NOT NULL, -- the name of the token
    address   TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    connector TEXT    NOT NULL, -- its name, as it may be gone; '' for none
    detail    TEXT    NOT NULL,
    ok        INTEGER NOT NULL,
    status    INTEGER NOT NULL -- of HTTP
);
CREATE INDEX audit_by_connector ON audit (connector); -- with the id, for pages
