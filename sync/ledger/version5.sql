-- From version 4 to 5: what is owed after a copy has a table of its own, connectors have
-- leases, what a pass writes is numbered, refused logins are kept, and
-- keys hold the pair of a source and a destination.
CREATE TABLE owed (
    file      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    connector INTEGER NOT NULL,
    pair      INTEGER NOT NULL DEFAULT 0,
    after     INTEGER NOT NULL -- how far after_copy has come
);
CREATE INDEX owed_by_connector ON owed (connector, pair); -- with the file, for their order
INSERT INTO owed (file, connector, after) SELECT id, connector, after FROM files WHERE after IN (1, 2, 4);
UPDATE files SET after = 1 WHERE after IN (2, 4);
DROP INDEX files_by_after;

-- Whose passes may write, and the numbers of what they write.
CREATE TABLE leases (
    connector INTEGER PRIMARY KEY REFERENCES connectors,
    holder    TEXT    NOT NULL, -- the process; '' before the first
    epoch     INTEGER NOT NULL, -- how many processes had it so far
    seq       INTEGER NOT NULL -- the last number that was drawn
);
INSERT INTO leases SELECT id, '', 0, 0 FROM connectors;
ALTER TABLE files ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;

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

-- Keys hold the pair, and a file may have several names at the destination.
ALTER TABLE files ADD COLUMN pair INTEGER NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN copy INTEGER NOT NULL DEFAULT 0;
DROP INDEX files_by_path;
DROP INDEX files_by_key;
DROP INDEX files_by_gone;
CREATE UNIQUE INDEX files_by_path ON files (connector, pair, path, copy);
CREATE INDEX files_by_key   ON files (connector, pair, key) WHERE key IS NOT NULL;
CREATE INDEX files_by_gone  ON files (connector, gone, pair); -- covers the scan of a pass's end
ALTER TABLE passes ADD COLUMN pair INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN pair INTEGER NOT NULL DEFAULT 0;
DROP INDEX intents_by_connector;
CREATE INDEX intents_by_connector ON intents (connector, pair);

ALTER TABLE failures RENAME TO old_failures;
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
INSERT INTO failures (id, connector, path, size, mtime, version, tries, next, quarantined, conflict, discards, error, at)
    SELECT id, connector, path, size, mtime, version, tries, next, quarantined, conflict, discards, error, at FROM old_failures;
DROP TABLE old_failures;
CREATE INDEX failures_by_connector ON failures (connector);

ALTER TABLE checkpoints RENAME TO old_checkpoints;
CREATE TABLE checkpoints (
    connector INTEGER NOT NULL,
    pair      INTEGER NOT NULL DEFAULT 0,
    path      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    mtime     INTEGER NOT NULL,
    version   TEXT    NOT NULL DEFAULT '',
    pending   TEXT    NOT NULL,
    prefix    INTEGER NOT NULL,
    PRIMARY KEY (connector, pair, path)
) WITHOUT ROWID;
INSERT INTO checkpoints (connector, path, size, mtime, version, pending, prefix)
    SELECT connector, path, size, mtime, version, pending, prefix FROM old_checkpoints;
DROP TABLE old_checkpoints;
