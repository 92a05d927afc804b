-- +goose Up

-- A user is never removed, so that neither its subject nor its name is used again: deleting one empties the row.
-- The epoch counts what ends all of a user's sessions; a session of an earlier epoch is over.
CREATE TABLE users (
    id        TEXT    PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    email     TEXT    NOT NULL,
    full_name TEXT    NOT NULL,
    roles     TEXT    NOT NULL, -- sorted, separated by commas
    password  TEXT    NOT NULL, -- a PHC string; empty: no password opens it
    epoch     INTEGER NOT NULL DEFAULT 1,
    disabled  INTEGER NOT NULL DEFAULT 0,
    deleted   INTEGER,          -- seconds since 1970, as all times here
    created   INTEGER NOT NULL,
    changed   INTEGER NOT NULL  -- when the password was last set
) STRICT;

-- A session is found by the hash of the secret in its cookie. Its id is no secret: tokens carry it as their sid.
CREATE TABLE sessions (
    id         TEXT    PRIMARY KEY,
    secret     BLOB    NOT NULL UNIQUE,
    user_id    TEXT    NOT NULL REFERENCES users (id),
    epoch      INTEGER NOT NULL,
    amr        TEXT    NOT NULL, -- separated by commas
    auth_time  INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    expires    INTEGER NOT NULL, -- the absolute end
    address    TEXT    NOT NULL,
    user_agent TEXT    NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires);

CREATE TABLE signing_keys (
    id      TEXT    PRIMARY KEY, -- the RFC 7638 thumbprint
    sealed  BLOB    NOT NULL,
    created INTEGER NOT NULL
) STRICT;

-- The revocation list of a process without Redis.
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

-- +goose Down
-- There is no way down: a state that lost a table would open as if nothing had happened.
