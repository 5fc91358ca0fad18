-- From version 2 to 3: how often a file was read and discarded, and how many passes in
-- a row could deliver nothing; pages of files and failures are read in their order, and
-- retention knows how long the clock has been steady.
ALTER TABLE failures RENAME TO old_failures;
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
    at          INTEGER NOT NULL,
    UNIQUE (connector, path)
);
INSERT INTO failures SELECT id, connector, path, size, mtime, tries, next, quarantined, conflict, 0, error, at FROM old_failures;
DROP TABLE old_failures;

CREATE TABLE fruitless (
    connector INTEGER PRIMARY KEY REFERENCES connectors,
    passes    INTEGER NOT NULL -- in a row that could deliver nothing
);

CREATE INDEX files_by_connector ON files (connector); -- with the id, for pages
CREATE INDEX failures_by_connector ON failures (connector);

-- What retention knows of the clock.
CREATE TABLE clocks (
    connector INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL, -- unix milliseconds: it has been steady from here
    seen      INTEGER NOT NULL -- to here
);
