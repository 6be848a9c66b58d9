-- The schema, the same text on SQLite and PostgreSQL.
-- Credits are 10⁻⁹ credit, money is minor units, instants are UTC with microseconds.
-- Every table an organization owns is keyed by the organization first.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Catalog versions: effective-dated, never changed.
CREATE TABLE catalog_version (
    version BIGINT PRIMARY KEY,
    effective_at TIMESTAMPTZ NOT NULL,
    content TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL
);

-- Suppliers' published prices; the latest effective_on at or before a day holds.
CREATE TABLE supplier_rate (
    meter TEXT NOT NULL,
    model TEXT NOT NULL,
    dimension TEXT NOT NULL,
    effective_on DATE NOT NULL,
    supplier TEXT NOT NULL,
    unit_price TEXT NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (meter, model, dimension, effective_on)
);

CREATE TABLE organization (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    billing_emails TEXT NOT NULL,
    joined_on DATE NOT NULL,
    zone TEXT NOT NULL,
    currency TEXT NOT NULL,
    country TEXT,
    address TEXT,
    tax_id TEXT,
    tax_percent TEXT NOT NULL,
    language TEXT NOT NULL,
    payment_method TEXT,
    state TEXT NOT NULL CHECK (state IN ('active', 'paused')),
    terms_since TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- Plan and contract of an organization, effective-dated: a cycle takes those in force when it opens.
CREATE TABLE organization_terms (
    organization TEXT NOT NULL REFERENCES organization (id),
    effective_at TIMESTAMPTZ NOT NULL,
    plan TEXT NOT NULL,
    allowance BIGINT,
    rollover_cycles TEXT,
    rollover_cap TEXT,
    fee BIGINT,
    overage_price TEXT,
    PRIMARY KEY (organization, effective_at)
);

-- One row per organization and month; bounds and terms are computed once.
CREATE TABLE billing_cycle (
    organization TEXT NOT NULL REFERENCES organization (id),
    cycle TEXT NOT NULL,
    starts_at TIMESTAMPTZ NOT NULL,
    ends_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ NOT NULL,
    terms TEXT NOT NULL,
    fee_billed BOOLEAN NOT NULL,
    deficit_brought BIGINT NOT NULL CHECK (deficit_brought >= 0),
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    outcome TEXT CHECK (outcome IN ('invoiced', 'nothing_to_bill')),
    statement TEXT,
    closed_at TIMESTAMPTZ,
    PRIMARY KEY (organization, cycle),
    CHECK (ends_at > starts_at),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);
CREATE UNIQUE INDEX billing_cycle_one_open ON billing_cycle (organization) WHERE state = 'open';
CREATE INDEX billing_cycle_due ON billing_cycle (due_at, organization) WHERE state = 'open';

CREATE TABLE usage_event (
    organization TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    cycle TEXT NOT NULL,
    billed_cycle TEXT NOT NULL,
    day DATE NOT NULL,
    meter TEXT NOT NULL,
    project TEXT NOT NULL,
    member TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    supplier TEXT NOT NULL,
    job TEXT NOT NULL,
    quantities TEXT NOT NULL,
    components TEXT NOT NULL,
    credits BIGINT NOT NULL CHECK (credits >= 0),
    content_hash TEXT NOT NULL,
    batch TEXT NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, source, event_id)
);

-- What the close reads. The check refuses a sum that left the integers on SQLite.
CREATE TABLE usage_rollup (
    organization TEXT NOT NULL,
    billed_cycle TEXT NOT NULL,
    cycle TEXT NOT NULL,
    day DATE NOT NULL,
    meter TEXT NOT NULL,
    project TEXT NOT NULL,
    member TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    supplier TEXT NOT NULL,
    events BIGINT NOT NULL,
    credits BIGINT NOT NULL CHECK (credits BETWEEN 0 AND 9000000000000000000),
    PRIMARY KEY (organization, billed_cycle, cycle, day, meter, project, member, environment, model, supplier)
);

CREATE TABLE usage_quarantine (
    id TEXT PRIMARY KEY,
    file TEXT NOT NULL,
    line BIGINT NOT NULL,
    organization TEXT,
    raw TEXT NOT NULL,
    raw_hash TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'resolved')),
    received_at TIMESTAMPTZ NOT NULL,
    resolved_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX usage_quarantine_open ON usage_quarantine (raw_hash) WHERE state = 'open';

CREATE TABLE credit_grant (
    organization TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('allowance', 'promotional', 'adjustment', 'purchase')),
    cycle TEXT NOT NULL,
    granted BIGINT NOT NULL CHECK (granted > 0),
    granted_at TIMESTAMPTZ NOT NULL,
    last_cycle TEXT,
    expires_at TIMESTAMPTZ,
    reason TEXT,
    PRIMARY KEY (organization, id)
);

-- What the ledger leaves of each grant; derived, checked by verify.
CREATE TABLE credit_balance (
    organization TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    remaining BIGINT NOT NULL CHECK (remaining >= 0),
    PRIMARY KEY (organization, grant_id)
);

CREATE TABLE ledger_head (
    organization TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE ledger_transaction (
    organization TEXT NOT NULL,
    seq BIGINT NOT NULL CHECK (seq > 0),
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    cycle TEXT NOT NULL,
    effective_at TIMESTAMPTZ NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (organization, seq)
);
CREATE UNIQUE INDEX ledger_transaction_key ON ledger_transaction (organization, key);

CREATE TABLE ledger_entry (
    organization TEXT NOT NULL,
    seq BIGINT NOT NULL,
    line BIGINT NOT NULL,
    account TEXT NOT NULL,
    grant_id TEXT,
    unit TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (organization, seq, line)
);

CREATE TABLE purchase (
    organization TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL,
    package TEXT,
    package_name TEXT,
    credits BIGINT NOT NULL CHECK (credits > 0),
    currency TEXT NOT NULL,
    net BIGINT NOT NULL CHECK (net >= 0),
    tax BIGINT NOT NULL CHECK (tax >= 0),
    tax_percent TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'declined')),
    cycle TEXT,
    grant_id TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    paid_at TIMESTAMPTZ,
    PRIMARY KEY (organization, id),
    CHECK ((state = 'paid') = (paid_at IS NOT NULL))
);
CREATE INDEX purchase_cycle ON purchase (organization, cycle);

-- Counters of gapless numbers; updated only inside the transaction that uses them.
CREATE TABLE series (
    name TEXT PRIMARY KEY,
    last BIGINT NOT NULL CHECK (last >= 0)
);

CREATE TABLE invoice (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    cycle TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'issued', 'settled', 'uncollectible')),
    payment_status TEXT NOT NULL,
    currency TEXT NOT NULL,
    subtotal BIGINT NOT NULL,
    tax BIGINT NOT NULL,
    total BIGINT NOT NULL,
    prepaid BIGINT NOT NULL,
    amount_due BIGINT NOT NULL CHECK (amount_due >= 0),
    draft TEXT NOT NULL,
    series TEXT,
    series_number BIGINT,
    number TEXT,
    issued_on DATE,
    issued_at TIMESTAMPTZ,
    header TEXT,
    content_hash TEXT,
    PRIMARY KEY (organization, id),
    FOREIGN KEY (organization, cycle) REFERENCES billing_cycle (organization, cycle),
    CHECK (total = subtotal + tax),
    CHECK (amount_due = total - prepaid),
    CHECK ((status = 'draft') = (number IS NULL)),
    CHECK ((status = 'draft') = (content_hash IS NULL))
);
CREATE UNIQUE INDEX invoice_one_per_cycle ON invoice (organization, cycle);
CREATE UNIQUE INDEX invoice_series ON invoice (series, series_number);
CREATE UNIQUE INDEX invoice_number ON invoice (number);

CREATE TABLE artifact (
    organization TEXT NOT NULL,
    invoice_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('pdf', 'csv')),
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    length BIGINT NOT NULL,
    PRIMARY KEY (organization, invoice_id, kind)
);

CREATE TABLE charge (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    subject TEXT NOT NULL CHECK (subject IN ('invoice', 'purchase')),
    subject_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    attempt BIGINT NOT NULL CHECK (attempt > 0),
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    payment_method TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('intended', 'sent', 'succeeded', 'declined', 'needs_action', 'pending', 'unknown')),
    provider_id TEXT,
    decline_code TEXT,
    decline_hard BOOLEAN NOT NULL,
    message TEXT,
    lookups BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    first_sent_at TIMESTAMPTZ,
    settled_at TIMESTAMPTZ,
    PRIMARY KEY (organization, id)
);
CREATE UNIQUE INDEX charge_key ON charge (key);
CREATE UNIQUE INDEX charge_attempt ON charge (organization, subject_id, attempt);
-- At most one attempt per invoice or purchase that took, or may still take, money.
CREATE UNIQUE INDEX charge_one_live ON charge (organization, subject_id) WHERE state <> 'declined';

-- Money received for an invoice, by charge or recorded by finance.
CREATE TABLE payment (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    invoice_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    method TEXT NOT NULL CHECK (method IN ('charge', 'transfer')),
    reference TEXT NOT NULL,
    received_on DATE NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, id)
);
CREATE INDEX payment_invoice ON payment (organization, invoice_id);

CREATE TABLE mail (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('invoice', 'receipt', 'payment_failed')),
    subject_id TEXT NOT NULL,
    charge_id TEXT,
    recipients TEXT NOT NULL,
    recipient TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'sent')),
    message_id TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    sent_at TIMESTAMPTZ,
    PRIMARY KEY (organization, id)
);
CREATE UNIQUE INDEX mail_key ON mail (organization, key);

-- One row per job and due instant.
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    cycle TEXT NOT NULL,
    due_at TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'attention')),
    cause TEXT NOT NULL,
    plans BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX run_due ON run (job, cycle, due_at);

-- The work table: job, saga node and outbox in one.
CREATE TABLE step (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id),
    kind TEXT NOT NULL,
    rank BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    organization TEXT,
    first_organization TEXT NOT NULL,
    last_organization TEXT NOT NULL,
    organizations BIGINT NOT NULL,
    subject TEXT,
    state TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'done', 'parked')),
    epoch BIGINT NOT NULL,
    owner TEXT,
    lease_until TIMESTAMPTZ,
    attempts BIGINT NOT NULL,
    next_at TIMESTAMPTZ NOT NULL,
    error TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
CREATE INDEX step_claim ON step (rank, ordinal, id) WHERE state IN ('ready', 'leased');
CREATE INDEX step_run ON step (run_id, state);
CREATE INDEX step_organization ON step (organization, kind) WHERE state IN ('ready', 'leased', 'parked');

-- What people did: who, why, chained like the ledger.
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL,
    command TEXT NOT NULL,
    reason TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
