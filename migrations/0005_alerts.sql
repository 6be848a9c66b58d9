-- Alerts, notices of expiring credits, and who they go to.

-- People beside those who get the invoices, by role.
CREATE TABLE contact (
    organization TEXT NOT NULL REFERENCES organization (id),
    role TEXT NOT NULL,
    email TEXT NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, role, email)
);

-- What rules told, and when new credits armed them again, with the figures of that moment. Thresholds and
-- figures are in the measure's unit: percent, 10⁻⁹ credit, minor units, days. Scope is a project, or empty.
CREATE TABLE alert (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    rule TEXT NOT NULL,
    measure TEXT NOT NULL CHECK (measure IN ('allowance_used', 'credits_left', 'spend', 'days_left')),
    scope TEXT NOT NULL,
    cycle TEXT NOT NULL,
    arming BIGINT NOT NULL CHECK (arming >= 0),
    kind TEXT NOT NULL CHECK (kind IN ('told', 'recovered')),
    threshold BIGINT NOT NULL,
    figure BIGINT NOT NULL,
    standing BIGINT,
    used BIGINT NOT NULL,
    allowance BIGINT NOT NULL,
    available BIGINT NOT NULL,
    currency TEXT NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, id)
);
-- The last guard: nobody is told twice.
CREATE UNIQUE INDEX alert_once ON alert (organization, cycle, rule, scope, measure, arming, kind, threshold);

-- Marks at which an organization was told of credits that lapse at an instant.
CREATE TABLE expiry_notice (
    organization TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    mark BIGINT NOT NULL CHECK (mark > 0),
    days BIGINT NOT NULL CHECK (days > 0),
    total BIGINT NOT NULL CHECK (total > 0),
    unused BIGINT NOT NULL CHECK (unused >= 0),
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, expires_at, mark)
);
