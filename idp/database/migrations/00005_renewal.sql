-- +goose Up

-- The tokens of a session follow each other (idp/internal/renewal). A session from before has none, until its browser comes to
-- the login host. Times with _ms are in milliseconds.
ALTER TABLE sessions ADD COLUMN token_id TEXT NOT NULL DEFAULT '';            -- the jti of the latest
ALTER TABLE sessions ADD COLUMN token_issued INTEGER NOT NULL DEFAULT 0;      -- its iat
ALTER TABLE sessions ADD COLUMN token_previous TEXT NOT NULL DEFAULT '';      -- the jti whose holder was given it
ALTER TABLE sessions ADD COLUMN token_given_ms INTEGER NOT NULL DEFAULT 0;     -- when it was last given
ALTER TABLE sessions ADD COLUMN token_delivered_ms INTEGER NOT NULL DEFAULT 0; -- when it had reached the browser; 0 where that is not known
ALTER TABLE sessions ADD COLUMN token_returned INTEGER NOT NULL DEFAULT 0;     -- whether it was presented since
ALTER TABLE sessions ADD COLUMN token_address TEXT NOT NULL DEFAULT '';        -- of the client that it was first given to
ALTER TABLE sessions ADD COLUMN cutoff INTEGER NOT NULL DEFAULT 0;             -- what was issued up to it counts no more
ALTER TABLE sessions ADD COLUMN browser_seen INTEGER NOT NULL DEFAULT 0;       -- when the session's own cookie was last seen

-- +goose Down
-- There is no way down: a state that lost a table would open as if nothing had happened.
