-- Brakes: what is held until a person looked at it.

-- A run that stopped before numbering its invoices, with the figures it stopped for; a confirmation is for
-- exactly these figures.
CREATE TABLE brake (
    run_id TEXT NOT NULL REFERENCES run (id),
    ordinal BIGINT NOT NULL CHECK (ordinal > 0),
    figures TEXT NOT NULL,
    reason TEXT NOT NULL,
    held_at TIMESTAMPTZ NOT NULL,
    confirmed_at TIMESTAMPTZ,
    PRIMARY KEY (run_id, ordinal)
);

-- A run's organizations, and its drafts, without a walk through all months.
CREATE INDEX billing_cycle_of_run ON billing_cycle (cycle, due_at, organization);

-- Events of a source on a day (UTC), over all organizations: how complete a feed is.
CREATE TABLE feed (
    source TEXT NOT NULL,
    day DATE NOT NULL,
    events BIGINT NOT NULL CHECK (events > 0),
    PRIMARY KEY (source, day)
);

-- Whom a source serves, and from when to when.
CREATE TABLE feed_organization (
    source TEXT NOT NULL,
    organization TEXT NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    PRIMARY KEY (source, organization)
);

-- Days without events that a person said are complete.
CREATE TABLE feed_confirmation (
    source TEXT NOT NULL,
    day DATE NOT NULL,
    confirmed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (source, day)
);

-- The few runs that are held, for every tick.
CREATE INDEX step_held ON step (run_id) WHERE kind = 'brake' AND state = 'parked';
