-- +goose Up

-- A browser that a user signed in from is known to that user's account, by a device cookie whose secret is hashed here.
-- It counts while the password is the one that it was given for, and until so many failures.
CREATE TABLE known_browsers (
    secret   BLOB    NOT NULL,
    user_id  TEXT    NOT NULL REFERENCES users (id),
    password BLOB    NOT NULL, -- the SHA-256 of users.password
    failures INTEGER NOT NULL DEFAULT 0,
    used     INTEGER NOT NULL, -- when somebody last signed in from it
    PRIMARY KEY (secret, user_id)
) STRICT;
CREATE INDEX known_browsers_by_user ON known_browsers (user_id);
CREATE INDEX known_browsers_by_use ON known_browsers (used);

-- +goose Down
-- There is no way down: a state that lost a table would open as if nothing had happened.
