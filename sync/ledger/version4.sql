-- From version 3 to 4: versions that a source gives its files, and the index of the spools.
ALTER TABLE files ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE failures ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE checkpoints ADD COLUMN version TEXT NOT NULL DEFAULT '';

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
