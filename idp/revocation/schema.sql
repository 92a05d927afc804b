CREATE TABLE revocations (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    INTEGER NOT NULL,
    issuer  TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    moment  INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    UNIQUE (kind, issuer, id)
) STRICT;
CREATE INDEX revocations_by_end ON revocations (expires);
