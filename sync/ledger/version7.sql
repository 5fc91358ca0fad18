-- From version 6 to 7: what was learnt of servers outlasts the program, and
-- checkpoints say what they are of.

-- What was learnt of servers, so that it is not learnt at each start.
CREATE TABLE servers (
    server TEXT    NOT NULL PRIMARY KEY, -- user@host:port
    limits TEXT    NOT NULL, -- a document of the store
    at     INTEGER NOT NULL -- unix milliseconds: when it was written
) WITHOUT ROWID;

-- Whether an interrupted copy is written under its own name; NULL: unknown.
ALTER TABLE checkpoints ADD COLUMN in_place INTEGER;
