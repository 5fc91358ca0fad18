-- From version 4 to 5: what is owed after a copy has a table of its own, connectors have
-- leases, what a pass writes is numbered, and refused logins are kept.
CREATE TABLE owed (
    file      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    connector INTEGER NOT NULL,
    after     INTEGER NOT NULL -- how far after_copy has come
);
CREATE INDEX owed_by_connector ON owed (connector); -- with the file, for their order
INSERT INTO owed SELECT id, connector, after FROM files WHERE after IN (1, 2, 4);
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
ALTER TABLE failures ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;

-- Logins that servers have refused, and that are not tried again soon.
CREATE TABLE holds (
    connector INTEGER NOT NULL REFERENCES connectors,
    side      TEXT    NOT NULL, -- source or destination
    login     TEXT    NOT NULL, -- tells it from other logins
    refused   INTEGER NOT NULL, -- times in a row
    until     INTEGER NOT NULL, -- unix milliseconds
    word      TEXT    NOT NULL, -- the connection status, and its hint
    hint      TEXT    NOT NULL,
    PRIMARY KEY (connector, side)
) WITHOUT ROWID;
