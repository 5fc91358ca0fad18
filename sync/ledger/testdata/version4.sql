CREATE TABLE connectors (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    -- automatic_sftp_file_sync as set through the API, and what the file said then
    schedule TEXT NOT NULL DEFAULT '',
    schedule_over TEXT NOT NULL DEFAULT '',
    source   TEXT NOT NULL DEFAULT '', -- whose files these are: the server, the user, the directory
    sweep    INTEGER NOT NULL DEFAULT 0 -- a killed pass may have left pending files
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
);
CREATE INDEX passes_by_connector ON passes (connector, id);
CREATE INDEX passes_running      ON passes (connector) WHERE state = 'running';
CREATE INDEX passes_by_age       ON passes (connector, started);

-- One row a path: the last version that was delivered.
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
, version TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX files_by_path ON files (connector, path);
CREATE INDEX files_by_key   ON files (connector, key) WHERE key IS NOT NULL;
CREATE INDEX files_by_after ON files (connector, id)  WHERE after IN (1, 2, 4);
CREATE INDEX files_by_connector ON files (connector); -- with the id, for pages
CREATE INDEX files_by_gone  ON files (connector, gone); -- covers the scan of a pass's end

-- One row a path that cannot be delivered now.
CREATE TABLE failures (
    id          INTEGER PRIMARY KEY,
    connector   INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    size        INTEGER NOT NULL,
    mtime       INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    next        INTEGER NOT NULL, -- unix milliseconds
    quarantined INTEGER NOT NULL,
    conflict    INTEGER NOT NULL,
    discards    INTEGER NOT NULL DEFAULT 0, -- passes in a row that read and discarded it
    error       TEXT    NOT NULL,
    at          INTEGER NOT NULL, version TEXT NOT NULL DEFAULT '',
    UNIQUE (connector, path)
);
CREATE INDEX failures_by_connector ON failures (connector);

-- Batches that are about to get their names.
CREATE TABLE intents (
    id        INTEGER PRIMARY KEY,
    connector INTEGER NOT NULL,
    batch     TEXT    NOT NULL -- JSON
);
CREATE INDEX intents_by_connector ON intents (connector);

-- Interrupted copies that can go on.
CREATE TABLE checkpoints (
    connector INTEGER NOT NULL,
    path      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    mtime     INTEGER NOT NULL,
    pending   TEXT    NOT NULL,
    prefix    INTEGER NOT NULL, version TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (connector, path)
) WITHOUT ROWID;

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

CREATE TABLE owner (id TEXT NOT NULL);
PRAGMA user_version = 4;

INSERT INTO owner VALUES ('0123abcd');
INSERT INTO connectors VALUES (3, 'c', '1m', '15m', 'u@h:22//d', 1);
INSERT INTO passes VALUES
    (7, 3, 'automatic', 'succeeded', 1772600767000, 1772600768000, 'Connection Valid', '', '{"seen":2,"copied":2}', 0),
    (9, 3, 'apply', 'running', 1772600769000, 0, '', '', '{}', 0);
INSERT INTO files (id, connector, path, size, mtime, target, target_time, key, adopted, after, pass, at, gone, version) VALUES
    (11, 3, 'a', 1, 1772600767, '', 1772600767, NULL, 0, 0, 7, 1772600767000, 0, ''),
    (12, 3, 'd/b', 2, 1772600767, 'b', 1772600767, 'b', 1, 2, 7, 1772600767000, 1772600768000, ''),
    (21, 3, 'owed', 1, 1772600767, '', 1772600767, NULL, 0, 1, 7, 1772600766000, 0, 'v'),
    (22, 3, 'done', 1, 1772600767, '', 1772600767, NULL, 0, 3, 7, 1772600766000, 0, ''),
    (23, 3, 'compare', 1, 1772600767, '', 1772600767, NULL, 1, 4, 7, 1772600766000, 0, ''),
    (24, 3, 'refused', 1, 1772600767, '', 1772600767, NULL, 0, 5, 7, 1772600766000, 0, ''),
    (25, 3, 'unverified', 1, 1772600767, '', 1772600767, NULL, 0, 6, 7, 1772600766000, 0, '');
INSERT INTO failures (id, connector, path, size, mtime, tries, next, quarantined, conflict, discards, error, at, version) VALUES
    (13, 3, 'f', 4, 1772600767, 5, 1772600768000, 1, 0, 0, 'no', 1772600767000, 'w');
INSERT INTO intents VALUES (14, 3, '[{"Path":"i","Size":5,"Time":1772600767,"TargetTime":1772600767,"Pass":"9","At":1772600767000,"Pending":"p","After":0}]');
INSERT INTO checkpoints (connector, path, size, mtime, pending, prefix, version) VALUES (3, 'k', 6, 1772600767, 'id', 3, '');
INSERT INTO requests (id, connector, state, accepted, deadline, token, reply_to, body) VALUES ('r', 3, 'accepted', 1772600767000, 1772600797000, 't', '', '{}');
INSERT INTO subscriptions (id, connector, created, token, reply_to, body, cursor, next) VALUES ('s', 3, 1772600767000, 't', 'http://receiver', '{}', 40, 1772600767000);
INSERT INTO deliveries VALUES (41, 3, 'a', 1, 1772600767, '', 0, 1772600767000);
INSERT INTO fruitless VALUES (3, 2);
INSERT INTO clocks VALUES (3, 1772500000000, 1772600768000);
INSERT INTO spool VALUES (3, 1, 0, 'u.csv', 'received', 'o', 5, 1772600767, 1772600767000, '');
