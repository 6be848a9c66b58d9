-- The comparators' own plain tables on PostgreSQL, loaded with the same input before the clock starts.
CREATE SCHEMA plain;
CREATE TABLE plain.organization (
    id TEXT COLLATE "C" PRIMARY KEY, plan TEXT NOT NULL, joined_day BIGINT NOT NULL, tax_percent BIGINT NOT NULL,
    fee BIGINT NOT NULL, allowance BIGINT NOT NULL, cap BIGINT, price BIGINT, next_last_cycle TEXT NOT NULL
);
CREATE TABLE plain.usage (
    organization TEXT COLLATE "C" NOT NULL, day DATE NOT NULL, meter TEXT COLLATE "C" NOT NULL, project TEXT NOT NULL,
    model TEXT NOT NULL, credits BIGINT NOT NULL, PRIMARY KEY (organization, day, meter, project, model)
);
INSERT INTO plain.usage SELECT organization, day, meter, project, model, credits FROM usage_rollup;
CREATE TABLE plain.credit_grant (
    organization TEXT COLLATE "C" NOT NULL, id TEXT COLLATE "C" NOT NULL, source TEXT NOT NULL, granted BIGINT NOT NULL,
    last_cycle TEXT COLLATE "C", remaining BIGINT NOT NULL CHECK (remaining >= 0), PRIMARY KEY (organization, id)
);
INSERT INTO plain.credit_grant SELECT g.organization, g.id, g.source, g.granted, g.last_cycle, b.remaining
    FROM credit_grant g JOIN credit_balance b ON b.organization = g.organization AND b.grant_id = g.id;
CREATE TABLE plain.cycle (
    organization TEXT COLLATE "C" NOT NULL, cycle TEXT NOT NULL, state TEXT NOT NULL, deficit BIGINT NOT NULL,
    PRIMARY KEY (organization, cycle)
);
INSERT INTO plain.cycle SELECT organization, cycle, 'open', 0 FROM billing_cycle;
CREATE TABLE plain.ledger (
    organization TEXT COLLATE "C" NOT NULL, line BIGINT NOT NULL, account TEXT NOT NULL, grant_id TEXT NOT NULL,
    credits BIGINT NOT NULL CHECK (credits <> 0), PRIMARY KEY (organization, line)
);
CREATE TABLE plain.invoice (
    number BIGINT PRIMARY KEY, organization TEXT COLLATE "C" NOT NULL UNIQUE, subtotal BIGINT NOT NULL,
    tax BIGINT NOT NULL, total BIGINT NOT NULL CHECK (total = subtotal + tax)
);
CREATE TABLE plain.invoice_line (
    organization TEXT COLLATE "C" NOT NULL, line BIGINT NOT NULL, kind TEXT NOT NULL, quantity BIGINT NOT NULL,
    amount BIGINT NOT NULL, PRIMARY KEY (organization, line)
);
-- A quotient of whole numbers, halves to the even neighbour.
CREATE FUNCTION plain.half_even(whole NUMERIC, of NUMERIC) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST(div(whole, of) + CASE
        WHEN mod(whole, of) * 2 > of OR (mod(whole, of) * 2 = of AND mod(div(whole, of), 2) = 1) THEN 1 ELSE 0
    END AS BIGINT)
$$;
-- What comparators do not read need not be copied for each run.
DROP TABLE usage_event, usage_rollup;
