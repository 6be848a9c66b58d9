-- Money that moves by itself: saved methods, dunning, receipts, credit notes, refunds, notices.

-- Notices: facts of mails that are not about an issued invoice or a payment, frozen when made.
CREATE TABLE notice (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    facts TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, id)
);
CREATE UNIQUE INDEX notice_key ON notice (organization, key);

-- Mails of any kind: rebuilt because the kinds of the first schema were a closed list.
CREATE TABLE mail_of_any_kind (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
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
INSERT INTO mail_of_any_kind (organization, id, key, kind, subject_id, charge_id, recipients, recipient, state,
    message_id, created_at, sent_at)
SELECT organization, id, key, kind, subject_id, charge_id, recipients, recipient, state, message_id, created_at,
    sent_at FROM mail;
DROP TABLE mail;
ALTER TABLE mail_of_any_kind RENAME TO mail;
CREATE UNIQUE INDEX mail_key ON mail (organization, key);

-- Saved payment methods: the provider holds the card, we hold its token and what may be shown (S61).
-- The method that organization.payment_method names is charged first, then the others, oldest first.
CREATE TABLE payment_method (
    organization TEXT NOT NULL REFERENCES organization (id),
    token TEXT NOT NULL,
    provider TEXT NOT NULL,
    brand TEXT,
    last4 TEXT,
    expires TEXT,
    state TEXT NOT NULL CHECK (state IN ('usable', 'refused', 'removed')),
    added_at TIMESTAMPTZ NOT NULL,
    checked_at TIMESTAMPTZ,
    PRIMARY KEY (organization, token)
);
CREATE INDEX payment_method_token ON payment_method (token);

-- Attempts by method: the budget of attempts counts them across invoices and purchases.
CREATE INDEX charge_method ON charge (organization, payment_method, first_sent_at);
CREATE INDEX charge_unsettled ON charge (state) WHERE state IN ('intended', 'sent', 'unknown', 'pending', 'needs_action');

-- Where the dunning calendar of an unpaid invoice stands.
CREATE TABLE dunning (
    organization TEXT NOT NULL,
    invoice_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'given_up')),
    began_at TIMESTAMPTZ NOT NULL,
    stage BIGINT NOT NULL CHECK (stage >= 0),
    next_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, invoice_id)
);
CREATE INDEX dunning_due ON dunning (next_at, organization) WHERE state = 'open';

-- Receipts and credit notes: numbered and frozen like invoices.
CREATE TABLE document (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('receipt', 'credit_note')),
    subject TEXT NOT NULL CHECK (subject IN ('invoice', 'purchase')),
    subject_id TEXT NOT NULL,
    cycle TEXT NOT NULL,
    series TEXT NOT NULL,
    series_number BIGINT NOT NULL CHECK (series_number > 0),
    number TEXT NOT NULL,
    currency TEXT NOT NULL,
    subtotal BIGINT NOT NULL CHECK (subtotal >= 0),
    tax BIGINT NOT NULL CHECK (tax >= 0),
    total BIGINT NOT NULL,
    issued_on DATE NOT NULL,
    issued_at TIMESTAMPTZ NOT NULL,
    content TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    PRIMARY KEY (organization, id),
    CHECK (total = subtotal + tax)
);
CREATE UNIQUE INDEX document_series ON document (series, series_number);
CREATE UNIQUE INDEX document_number ON document (number);
CREATE INDEX document_subject ON document (organization, subject_id);
CREATE UNIQUE INDEX document_one_receipt ON document (organization, subject_id) WHERE kind = 'receipt';

-- Money given back for a credit note: by the provider, or by a transfer that finance makes.
CREATE TABLE refund (
    organization TEXT NOT NULL,
    id TEXT NOT NULL,
    document_id TEXT NOT NULL,
    charge_id TEXT,
    key TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    method TEXT NOT NULL CHECK (method IN ('charge', 'transfer')),
    state TEXT NOT NULL CHECK (state IN ('intended', 'sent', 'unknown', 'pending', 'succeeded', 'failed')),
    provider_id TEXT,
    message TEXT,
    lookups BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    first_sent_at TIMESTAMPTZ,
    settled_at TIMESTAMPTZ,
    PRIMARY KEY (organization, id)
);
CREATE UNIQUE INDEX refund_key ON refund (key);
CREATE INDEX refund_document ON refund (organization, document_id);

-- Credits of a credit note: given back to the grant they were burned from (above zero), or taken off a
-- grant with the money that paid for it (below zero).
CREATE TABLE credit_correction (
    organization TEXT NOT NULL,
    document_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    cycle TEXT NOT NULL,
    credits BIGINT NOT NULL CHECK (credits <> 0),
    used_cycle TEXT,
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, document_id, grant_id)
);
CREATE INDEX credit_correction_cycle ON credit_correction (organization, cycle);

-- Automatic purchases (S35): below a threshold a package is bought, within limits.
CREATE TABLE recharge (
    organization TEXT PRIMARY KEY REFERENCES organization (id),
    threshold BIGINT NOT NULL CHECK (threshold >= 0),
    package TEXT NOT NULL,
    monthly_limit BIGINT NOT NULL CHECK (monthly_limit > 0),
    cool_off_minutes BIGINT NOT NULL CHECK (cool_off_minutes > 0),
    state TEXT NOT NULL CHECK (state IN ('on', 'off', 'stopped')),
    failures BIGINT NOT NULL CHECK (failures >= 0),
    last_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL
);
ALTER TABLE purchase ADD COLUMN automatic BOOLEAN NOT NULL DEFAULT FALSE;

-- Notifications of the provider that were heard: each once.
CREATE TABLE provider_event (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    organization TEXT,
    subject_id TEXT,
    received_at TIMESTAMPTZ NOT NULL
);

-- Jobs that only watch: the due instant they last looked at. Their runs stay only where they found something.
CREATE TABLE watch (
    job TEXT PRIMARY KEY,
    due_at TIMESTAMPTZ NOT NULL
);

-- Whether the provider answers: after so many unclear answers in a row it is left alone for a while (F73).
CREATE TABLE provider_health (
    provider TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    open_until TIMESTAMPTZ
);

INSERT INTO payment_method (organization, token, provider, state, added_at)
SELECT id, payment_method, '', 'usable', created_at FROM organization WHERE payment_method IS NOT NULL;
