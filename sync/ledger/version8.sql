-- From version 7 to 8: who changed what is kept, a connector can be paused, and indexes
-- find the rows in a state.
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

-- When a connector was paused, in unix milliseconds, by whom and why; 0 when it is not.
ALTER TABLE connectors ADD COLUMN paused_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connectors ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE connectors ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';

DROP INDEX files_by_connector;
CREATE INDEX files_by_connector ON files (connector, adopted); -- with the id, for pages
DROP INDEX failures_by_connector;
CREATE INDEX failures_by_connector ON failures (connector, quarantined, conflict); -- with the id, for pages
CREATE INDEX failures_discarded ON failures (connector) WHERE discards > 0;
DROP INDEX requests_open;
CREATE INDEX requests_by_state ON requests (state); -- with the rowid, for pages
