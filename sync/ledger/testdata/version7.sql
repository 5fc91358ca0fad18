-- A ledger as a program of version 7 leaves it, with a row of each kind.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE connectors (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    -- automatic_sftp_file_sync as set through the API, and what the file said then
    schedule TEXT NOT NULL DEFAULT '',
    schedule_over TEXT NOT NULL DEFAULT '',
    source   TEXT NOT NULL DEFAULT '', -- whose files these are: the server, the user, the directory
    sweep    INTEGER NOT NULL DEFAULT 0 -- a killed pass may have left pending files
);
INSERT INTO connectors VALUES(3,'c','1m','15m','u@h:22//d',1);
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
INSERT INTO passes VALUES(7,3,'automatic','succeeded',1772600767000,1772600768000,'Connection Valid','','{"seen":2,"copied":2}',0,0);
INSERT INTO passes VALUES(9,3,'apply','running',1772600769000,0,'','','{}',0,0);
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
INSERT INTO files VALUES(11,3,'a',1,1772600767,'',1772600767,NULL,0,0,7,1772600767000,0,'',11,0,0);
INSERT INTO files VALUES(12,3,'d/b',2,1772600767,'b',1772600767,'b',1,1,7,1772600767000,1772600768000,'',12,0,0);
INSERT INTO files VALUES(21,3,'owed',1,1772600767,'',1772600767,NULL,0,1,7,1772600766000,0,'v',21,0,0);
INSERT INTO files VALUES(22,3,'done',1,1772600767,'',1772600767,NULL,0,3,7,1772600766000,0,'',22,0,0);
INSERT INTO files VALUES(23,3,'compare',1,1772600767,'',1772600767,NULL,1,1,7,1772600766000,0,'',23,0,0);
INSERT INTO files VALUES(24,3,'refused',1,1772600767,'',1772600767,NULL,0,5,7,1772600766000,0,'',24,0,0);
INSERT INTO files VALUES(25,3,'unverified',1,1772600767,'',1772600767,NULL,0,6,7,1772600766000,0,'',25,0,0);
CREATE TABLE intents (
    id        INTEGER PRIMARY KEY,
    connector INTEGER NOT NULL,
    batch     TEXT    NOT NULL -- JSON
, pair INTEGER NOT NULL DEFAULT 0);
INSERT INTO intents VALUES(14,3,'[{"Path":"i","Size":5,"Time":1772600767,"TargetTime":1772600767,"Pass":"9","At":1772600767000,"Pending":"p","After":0}]',0);
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
INSERT INTO requests VALUES('r',3,'accepted',1772600767000,1772600797000,0,'t','',0,'{}','');
INSERT INTO requests VALUES('given up',3,'replied',1772600767000,1772600797000,1772600768000,'t','http://receiver?1',0,'{}','{}');
CREATE TABLE subscriptions (
    id        TEXT    NOT NULL PRIMARY KEY,
    connector INTEGER NOT NULL REFERENCES connectors,
    created   INTEGER NOT NULL,
    token     TEXT    NOT NULL,
    reply_to  TEXT    NOT NULL,
    body      TEXT    NOT NULL, -- JSON
    cursor    INTEGER NOT NULL);
INSERT INTO subscriptions VALUES('s',3,1772600767000,'t','http://receiver','{}',40);
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
INSERT INTO deliveries VALUES(41,3,'a',1,1772600767,'',0,1772600767000);
CREATE TABLE fruitless (
    connector INTEGER PRIMARY KEY REFERENCES connectors,
    passes    INTEGER NOT NULL -- in a row that could deliver nothing
);
INSERT INTO fruitless VALUES(3,2);
CREATE TABLE clocks (
    connector INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL, -- unix milliseconds: it has been steady from here
    seen      INTEGER NOT NULL -- to here
);
INSERT INTO clocks VALUES(3,1772500000000,1772600768000);
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
INSERT INTO spool VALUES(3,1,0,'u.csv','received','o',5,1772600767,1772600767000,'');
CREATE TABLE owner (id TEXT NOT NULL);
INSERT INTO owner VALUES('0123abcd');
CREATE TABLE owed (
    file      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    connector INTEGER NOT NULL,
    pair      INTEGER NOT NULL DEFAULT 0,
    after     INTEGER NOT NULL -- how far after_copy has come
);
INSERT INTO owed VALUES(12,3,0,2);
INSERT INTO owed VALUES(21,3,0,1);
INSERT INTO owed VALUES(23,3,0,4);
CREATE TABLE leases (
    connector INTEGER PRIMARY KEY REFERENCES connectors,
    holder    TEXT    NOT NULL, -- the process; '' before the first
    epoch     INTEGER NOT NULL, -- how many processes had it so far
    seq       INTEGER NOT NULL -- the last number that was drawn
);
INSERT INTO leases VALUES(3,'h',4,25);
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
INSERT INTO holds VALUES(3,0,'source','l',2,1772600769000,'Authentication Failed','Check it.');
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
INSERT INTO failures VALUES(13,3,0,'f',4,1772600767,'w',5,1772600768000,1,0,0,'no',1772600767000,0);
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
INSERT INTO checkpoints VALUES(3,0,'k',6,1772600767,'','id',3,NULL);
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
INSERT INTO outbox VALUES(1,'subscription','s','http://receiver',0,1772600767000,'');
INSERT INTO outbox VALUES(2,'reply','given up','http://receiver?1',3,NULL,'410 Gone');
CREATE TABLE servers (
    server TEXT    NOT NULL PRIMARY KEY, -- user@host:port
    limits TEXT    NOT NULL, -- a document of the store
    at     INTEGER NOT NULL -- unix milliseconds: when it was written
) WITHOUT ROWID;
INSERT INTO servers VALUES('u@h:22','{}',1772600767000);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('passes',9);
INSERT INTO sqlite_sequence VALUES('deliveries',41);
INSERT INTO sqlite_sequence VALUES('outbox',2);
CREATE INDEX passes_by_connector ON passes (connector, id);
CREATE INDEX passes_running      ON passes (connector) WHERE state = 'running';
CREATE INDEX passes_by_age       ON passes (connector, started);
CREATE INDEX files_by_connector ON files (connector);
CREATE INDEX requests_by_connector ON requests (connector);
CREATE INDEX requests_open ON requests (state) WHERE state IN ('accepted', 'running');
CREATE INDEX subscriptions_by_connector ON subscriptions (connector, cursor);
CREATE INDEX deliveries_by_connector ON deliveries (connector);
CREATE INDEX owed_by_connector ON owed (connector, pair);
CREATE UNIQUE INDEX files_by_path ON files (connector, pair, path, copy);
CREATE INDEX files_by_key   ON files (connector, pair, key) WHERE key IS NOT NULL;
CREATE INDEX files_by_gone  ON files (connector, gone, pair);
CREATE INDEX intents_by_connector ON intents (connector, pair);
CREATE INDEX failures_by_connector ON failures (connector);
CREATE INDEX outbox_lanes ON outbox (host, kind, receiver, next, tries) WHERE next IS NOT NULL;
CREATE INDEX outbox_tried ON outbox (next) WHERE tries > 0;
PRAGMA user_version = 7;
COMMIT;
