-- +goose Up

-- When the account first saw the browser: the one that is known, and the one that a session began in. It is 0 where that is
-- not known, as of all from before.
ALTER TABLE known_browsers ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN browser_since INTEGER NOT NULL DEFAULT 0;

-- +goose Down
-- There is no way down: a state that lost a table would open as if nothing had happened.
