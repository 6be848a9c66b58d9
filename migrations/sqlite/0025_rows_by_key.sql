-- What belongs to an organization lies together. A table with a hidden number keeps its rows in the order they came, and
-- a second tree by key beside it; a month that goes through organizations in their order then reads a page for almost
-- every row. Rows of these tables are small enough to lie in the tree of their key. Rebuilt with foreign keys off, which
-- are all checked before the transaction ends. Not credit_balance: there the index of what is left is the shorter way.

CREATE TABLE organization_by_key (
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
    updated_at TIMESTAMPTZ NOT NULL,
    unpaid BOOLEAN NOT NULL DEFAULT FALSE
) WITHOUT ROWID;
INSERT INTO organization_by_key (id, name, billing_emails, joined_on, zone, currency, country, address, tax_id,
    tax_percent, language, payment_method, state, terms_since, created_at, updated_at, unpaid)
SELECT id, name, billing_emails, joined_on, zone, currency, country, address, tax_id, tax_percent, language,
    payment_method, state, terms_since, created_at, updated_at, unpaid
FROM organization ORDER BY id;
DROP TABLE organization;
ALTER TABLE organization_by_key RENAME TO organization;

CREATE TABLE organization_terms_by_key (
    organization TEXT NOT NULL REFERENCES organization (id),
    effective_at TIMESTAMPTZ NOT NULL,
    plan TEXT NOT NULL,
    allowance BIGINT,
    rollover_cycles TEXT,
    rollover_cap TEXT,
    fee BIGINT,
    overage_price TEXT,
    PRIMARY KEY (organization, effective_at)
) WITHOUT ROWID;
INSERT INTO organization_terms_by_key (organization, effective_at, plan, allowance, rollover_cycles, rollover_cap,
    fee, overage_price)
SELECT organization, effective_at, plan, allowance, rollover_cycles, rollover_cap, fee, overage_price
FROM organization_terms ORDER BY organization, effective_at;
DROP TABLE organization_terms;
ALTER TABLE organization_terms_by_key RENAME TO organization_terms;
CREATE TRIGGER organization_terms_no_update BEFORE UPDATE ON organization_terms BEGIN
    SELECT RAISE(ABORT, 'organization_terms is history: it is never changed or removed');
END;

CREATE TRIGGER organization_terms_no_delete BEFORE DELETE ON organization_terms BEGIN
    SELECT RAISE(ABORT, 'organization_terms is history: it is never changed or removed');
END;

CREATE TRIGGER organization_terms_no_replace BEFORE INSERT ON organization_terms WHEN EXISTS (SELECT 1 FROM organization_terms WHERE organization = NEW.organization AND effective_at = NEW.effective_at) BEGIN
    SELECT RAISE(ABORT, 'organization_terms is history: a row of its unique key is there and is never replaced');
END;

CREATE TABLE credit_grant_by_key (
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
) WITHOUT ROWID;
INSERT INTO credit_grant_by_key (organization, id, source, cycle, granted, granted_at, last_cycle, expires_at, reason)
SELECT organization, id, source, cycle, granted, granted_at, last_cycle, expires_at, reason
FROM credit_grant ORDER BY organization, id;
DROP TABLE credit_grant;
ALTER TABLE credit_grant_by_key RENAME TO credit_grant;
CREATE INDEX credit_grant_bought ON credit_grant (organization, cycle) WHERE source <> 'allowance';
CREATE TRIGGER credit_grant_no_update BEFORE UPDATE ON credit_grant BEGIN
    SELECT RAISE(ABORT, 'credit_grant is history: it is never changed or removed');
END;

CREATE TRIGGER credit_grant_no_delete BEFORE DELETE ON credit_grant BEGIN
    SELECT RAISE(ABORT, 'credit_grant is history: it is never changed or removed');
END;

CREATE TRIGGER credit_grant_no_replace BEFORE INSERT ON credit_grant WHEN EXISTS (SELECT 1 FROM credit_grant WHERE organization = NEW.organization AND id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'credit_grant is history: a row of its unique key is there and is never replaced');
END;

CREATE TABLE ledger_head_by_key (
    organization TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO ledger_head_by_key (organization, seq, hash)
SELECT organization, seq, hash
FROM ledger_head ORDER BY organization;
DROP TABLE ledger_head;
ALTER TABLE ledger_head_by_key RENAME TO ledger_head;
CREATE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head WHEN NEW.organization <> OLD.organization OR NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash) BEGIN
    SELECT RAISE(ABORT, 'a chain never becomes shorter');
END;

CREATE TRIGGER ledger_head_no_delete BEFORE DELETE ON ledger_head BEGIN
    SELECT RAISE(ABORT, 'ledger_head is history: it is never removed');
END;

CREATE TABLE ledger_transaction_by_key (
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
) WITHOUT ROWID;
INSERT INTO ledger_transaction_by_key (organization, seq, kind, key, cycle, effective_at, recorded_at, previous_hash,
    hash)
SELECT organization, seq, kind, key, cycle, effective_at, recorded_at, previous_hash, hash
FROM ledger_transaction ORDER BY organization, seq;
DROP TABLE ledger_transaction;
ALTER TABLE ledger_transaction_by_key RENAME TO ledger_transaction;
CREATE UNIQUE INDEX ledger_transaction_key ON ledger_transaction (organization, key);
CREATE TRIGGER ledger_transaction_no_update BEFORE UPDATE ON ledger_transaction BEGIN
    SELECT RAISE(ABORT, 'ledger_transaction is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_transaction_no_delete BEFORE DELETE ON ledger_transaction BEGIN
    SELECT RAISE(ABORT, 'ledger_transaction is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_transaction_no_replace BEFORE INSERT ON ledger_transaction WHEN EXISTS (SELECT 1 FROM ledger_transaction WHERE organization = NEW.organization AND seq = NEW.seq) OR EXISTS (SELECT 1 FROM ledger_transaction WHERE organization = NEW.organization AND key = NEW.key) BEGIN
    SELECT RAISE(ABORT, 'ledger_transaction is history: a row of its unique key is there and is never replaced');
END;

CREATE TABLE ledger_entry_by_key (
    organization TEXT NOT NULL,
    seq BIGINT NOT NULL,
    line BIGINT NOT NULL,
    account TEXT NOT NULL,
    grant_id TEXT,
    unit TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (organization, seq, line)
) WITHOUT ROWID;
INSERT INTO ledger_entry_by_key (organization, seq, line, account, grant_id, unit, amount)
SELECT organization, seq, line, account, grant_id, unit, amount
FROM ledger_entry ORDER BY organization, seq, line;
DROP TABLE ledger_entry;
ALTER TABLE ledger_entry_by_key RENAME TO ledger_entry;
CREATE TRIGGER ledger_entry_no_update BEFORE UPDATE ON ledger_entry BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_entry_no_delete BEFORE DELETE ON ledger_entry BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_entry_no_replace BEFORE INSERT ON ledger_entry WHEN EXISTS (SELECT 1 FROM ledger_entry WHERE organization = NEW.organization AND seq = NEW.seq AND line = NEW.line) BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is history: a row of its unique key is there and is never replaced');
END;

CREATE TABLE payment_method_by_key (
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
) WITHOUT ROWID;
INSERT INTO payment_method_by_key (organization, token, provider, brand, last4, expires, state, added_at, checked_at)
SELECT organization, token, provider, brand, last4, expires, state, added_at, checked_at
FROM payment_method ORDER BY organization, token;
DROP TABLE payment_method;
ALTER TABLE payment_method_by_key RENAME TO payment_method;
CREATE INDEX payment_method_token ON payment_method (token);

CREATE TABLE usage_rollup_by_key (
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
) WITHOUT ROWID;
INSERT INTO usage_rollup_by_key (organization, billed_cycle, cycle, day, meter, project, member, environment, model,
    supplier, events, credits)
SELECT organization, billed_cycle, cycle, day, meter, project, member, environment, model, supplier, events, credits
FROM usage_rollup ORDER BY organization, billed_cycle, cycle, day, meter, project, member, environment, model,
    supplier;
DROP TABLE usage_rollup;
ALTER TABLE usage_rollup_by_key RENAME TO usage_rollup;
CREATE TRIGGER usage_rollup_no_delete BEFORE DELETE ON usage_rollup BEGIN
    SELECT RAISE(ABORT, 'usage_rollup is history: it is never removed');
END;

CREATE TABLE feed_organization_by_key (
    source TEXT NOT NULL,
    organization TEXT NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    PRIMARY KEY (source, organization)
) WITHOUT ROWID;
INSERT INTO feed_organization_by_key (source, organization, first_day, last_day)
SELECT source, organization, first_day, last_day
FROM feed_organization ORDER BY source, organization;
DROP TABLE feed_organization;
ALTER TABLE feed_organization_by_key RENAME TO feed_organization;
