-- Who may start new operations: what was last told outside, numbered for each organization.
-- No row: nothing was ever told, which means active.
CREATE TABLE admission (
    organization TEXT PRIMARY KEY REFERENCES organization (id),
    state TEXT NOT NULL CHECK (state IN ('active', 'paused')),
    reason TEXT CHECK (reason IN ('out_of_credits', 'unpaid', 'by_hand')),
    version BIGINT NOT NULL CHECK (version > 0),
    since TIMESTAMPTZ NOT NULL,
    CHECK ((state = 'paused') = (reason IS NOT NULL))
);

-- Paused for an unpaid invoice; organization.state = 'paused' is finance's own word.
ALTER TABLE organization ADD COLUMN unpaid BOOLEAN NOT NULL DEFAULT FALSE;

-- One row for each fact and endpoint it is told to; the payload is sent as it stands here.
CREATE TABLE webhook (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    event TEXT NOT NULL,
    version BIGINT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'sent')),
    created_at TIMESTAMPTZ NOT NULL,
    sent_at TIMESTAMPTZ,
    PRIMARY KEY (organization, id),
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX webhook_unsent ON webhook (organization, id) WHERE state = 'ready';
