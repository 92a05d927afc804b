-- +goose Up

-- The longest that an access token of the session was issued for, in seconds. Of sessions from before it is not known: 90 days,
-- the longest that any could be.
ALTER TABLE sessions ADD COLUMN token_ttl INTEGER NOT NULL DEFAULT 7776000;

-- +goose Down
-- There is no way down: a state that lost a table would open as if nothing had happened.
