-- A ledger as programs of schema version 1 made it, with something in each table.
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
    id         INTEGER PRIMARY KEY,
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
);
CREATE UNIQUE INDEX files_by_path ON files (connector, path);
CREATE INDEX files_by_key   ON files (connector, key) WHERE key IS NOT NULL;
CREATE INDEX files_by_after ON files (connector, id)  WHERE after IN (1, 2, 4);
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
    error       TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    UNIQUE (connector, path)
);

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
    prefix    INTEGER NOT NULL,
    PRIMARY KEY (connector, path)
) WITHOUT ROWID;
CREATE TABLE owner (id TEXT NOT NULL);
PRAGMA user_version = 1;

INSERT INTO owner VALUES ('0123abcd');
INSERT INTO connectors VALUES (3, 'c', '1m', '15m', 'u@h:22//d', 1);
INSERT INTO passes VALUES
    (7, 3, 'automatic', 'succeeded', 1772600767000, 1772600768000, 'Connection Valid', '', '{"Seen":2,"Copied":2}', 0),
    (9, 3, 'apply', 'running', 1772600769000, 0, '', '', '{}', 0);
INSERT INTO files VALUES
    (11, 3, 'a', 1, 1772600767, '', 1772600767, NULL, 0, 0, 7, 1772600767000, 0),
    (12, 3, 'd/b', 2, 1772600767, 'b', 1772600767, 'b', 1, 2, 7, 1772600767000, 1772600768000);
INSERT INTO failures VALUES (13, 3, 'f', 4, 1772600767, 5, 1772600768000, 1, 0, 'no', 1772600767000);
INSERT INTO intents VALUES (14, 3, '[{"Path":"i","Size":5,"Time":1772600767,"TargetTime":1772600767,"Pass":"9","At":1772600767000,"Pending":"p","After":0}]');
INSERT INTO checkpoints VALUES (3, 'k', 6, 1772600767, 'id', 3);
