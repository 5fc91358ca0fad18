-- From version 4 to 5: what is owed after a copy has a table of its own.
CREATE TABLE owed (
    file      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    connector INTEGER NOT NULL,
    after     INTEGER NOT NULL -- how far after_copy has come
);
CREATE INDEX owed_by_connector ON owed (connector); -- with the file, for their order
INSERT INTO owed SELECT id, connector, after FROM files WHERE after IN (1, 2, 4);
UPDATE files SET after = 1 WHERE after IN (2, 4);
DROP INDEX files_by_after;
