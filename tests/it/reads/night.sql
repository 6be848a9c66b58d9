-- The night after two years of 2,000 organizations, as far as the planner sees it: tables of rows that nobody reads as
-- documents. Foreign keys and guards are off while they are filled.
SET session_replication_role = replica;

-- Statistics are what is said here, not what the server gets to.
DO $$
DECLARE
    found text;
BEGIN
    FOR found IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', found);
    END LOOP;
END
$$;

INSERT INTO organization (id, name, billing_emails, joined_on, zone, currency, tax_percent, language, payment_method,
    state, terms_since, created_at, updated_at)
SELECT 'o' || lpad(n::text, 5, '0'), 'n', '[]', '2024-01-01', 'UTC', 'EUR', '0', 'en', 'pm', 'active', '2024-01-01',
    '2024-01-01', '2024-01-01' FROM generate_series(0, 1999) n;
CREATE TEMP TABLE month AS SELECT m, to_char(at, 'YYYY-MM') AS cycle, at, at + interval '1 month' AS due_at
    FROM generate_series(0, 23) m, LATERAL (SELECT timestamptz '2024-01-01 00:00Z' + m * interval '1 month') t (at);
CREATE TEMP TABLE each AS SELECT o.id AS organization, month.* FROM organization o, month;

INSERT INTO organization_terms (organization, effective_at, plan) SELECT id, '2024-01-01', 'standard' FROM organization;
INSERT INTO payment_method (organization, token, provider, state, added_at)
SELECT id, 'pm', 'sandbox', 'usable', '2024-01-01' FROM organization;
INSERT INTO billing_cycle (organization, cycle, starts_at, ends_at, due_at, terms, fee_billed, deficit_brought, state,
    outcome, closed_at)
SELECT organization, cycle, at, due_at, due_at, repeat('t', 300), TRUE, 0, CASE WHEN m < 23 THEN 'closed' ELSE 'open' END,
    CASE WHEN m < 23 THEN 'invoiced' END, CASE WHEN m < 23 THEN due_at END FROM each;
INSERT INTO usage_rollup (organization, billed_cycle, cycle, day, meter, project, member, environment, model, supplier,
    events, credits)
SELECT organization, cycle, cycle, (at + d * interval '1 day')::date, 'prompt', '', '', '', '', '', 1, 1
    FROM each, generate_series(1, 4) d;
INSERT INTO credit_grant (organization, id, source, cycle, granted, granted_at)
SELECT organization, 'grt_' || cycle, 'allowance', cycle, 1, at FROM each;
INSERT INTO credit_balance (organization, grant_id, remaining)
SELECT organization, 'grt_' || cycle, CASE WHEN m > 21 THEN 1 ELSE 0 END FROM each;
INSERT INTO alert (organization, id, rule, measure, scope, cycle, arming, kind, threshold, figure, used, allowance,
    available, currency, recorded_at)
SELECT organization, 'alr_' || cycle, 'r', 'spend', '', cycle, 0, 'told', 1, 1, 1, 1, 1, 'EUR', at FROM each;
INSERT INTO run (id, job, cycle, due_at, state, cause, plans, created_at)
SELECT 'run_' || cycle, 'monthly_close', cycle, due_at, CASE WHEN m < 22 THEN 'done' ELSE 'open' END, 'schedule', 1, due_at
    FROM month WHERE m < 23;

-- Purchases with their receipts, and credit notes, some for each organization and month.
INSERT INTO purchase (organization, id, credits, currency, net, tax, tax_percent, state, cycle, created_at, paid_at)
SELECT organization, 'pur_' || cycle || n, 1, 'EUR', 1, 0, '0', 'paid', cycle, at, at FROM each, generate_series(1, 3) n;
INSERT INTO document (organization, id, kind, subject, subject_id, cycle, series, series_number, number, currency,
    subtotal, tax, total, issued_on, issued_at, content, content_hash)
SELECT organization, 'rct_' || cycle || n, 'receipt', 'purchase', 'pur_' || cycle || n, cycle, 'R' || cycle || n,
    substr(organization, 2)::int + 1, 'R' || cycle || n || organization, 'EUR', 1, 0, 1, at::date, at, repeat('c', 300), 'h'
    FROM each, generate_series(1, 3) n;
INSERT INTO credit_correction (organization, document_id, grant_id, cycle, credits, recorded_at)
SELECT organization, 'crn_' || cycle, 'grt_' || cycle, cycle, 1, at FROM each;

-- Invoices of some months, with what becomes of them: settled long ago, or drafts and steps that wait.
CREATE FUNCTION pg_temp.invoiced(first int, last int, settled boolean) RETURNS void LANGUAGE sql AS $$
INSERT INTO invoice (organization, id, cycle, status, payment_status, currency, subtotal, tax, total, prepaid,
    amount_due, draft, series, series_number, number, issued_on, issued_at, header, content_hash)
SELECT organization, 'inv_' || cycle, cycle, CASE WHEN settled THEN 'settled' ELSE 'draft' END,
    CASE WHEN settled THEN 'paid' ELSE 'open' END, 'EUR', 1, 0, 1, 0, 1, repeat('d', 600),
    CASE WHEN settled THEN 'S' || cycle END, CASE WHEN settled THEN substr(organization, 2)::int END,
    CASE WHEN settled THEN 'S' || cycle || organization END, CASE WHEN settled THEN due_at::date END,
    CASE WHEN settled THEN due_at END, CASE WHEN settled THEN 'h' END, CASE WHEN settled THEN 'c' END
    FROM each WHERE m BETWEEN first AND last;
INSERT INTO charge (organization, id, key, subject, subject_id, reference, attempt, currency, amount, payment_method,
    request_hash, state, decline_hard, lookups, created_at, first_sent_at, settled_at)
SELECT organization, 'chg_' || cycle, 'k' || cycle || organization, 'invoice', 'inv_' || cycle, 'r', 1, 'EUR', 1, 'pm', 'h',
    CASE WHEN settled THEN 'succeeded' ELSE 'intended' END, FALSE, 0, due_at, CASE WHEN settled THEN due_at END,
    CASE WHEN settled THEN due_at END FROM each WHERE m BETWEEN first AND last;
INSERT INTO mail (organization, id, key, kind, subject_id, recipients, recipient, state, created_at)
SELECT organization, 'mal_' || cycle, 'k' || cycle, 'invoice', 'inv_' || cycle, '[]', 'r',
    CASE WHEN settled THEN 'sent' ELSE 'ready' END, due_at FROM each WHERE m BETWEEN first AND last;
INSERT INTO step (id, run_id, kind, rank, ordinal, organization, first_organization, last_organization, organizations,
    subject, state, epoch, attempts, next_at, created_at)
SELECT kind || cycle || organization, 'run_' || cycle, kind, 80, 1, organization, organization, organization, 1,
    'chg_' || cycle, CASE WHEN settled THEN 'done' ELSE 'ready' END, 1, 1, due_at, due_at
    FROM each, unnest(ARRAY['charge', 'mail']) kind WHERE m BETWEEN first AND last;
$$;
SELECT pg_temp.invoiced(0, 21, TRUE);
INSERT INTO artifact (organization, invoice_id, kind, path, sha256, length)
SELECT organization, id, kind, kind || cycle || organization, 'h', 1 FROM invoice, unnest(ARRAY['csv', 'pdf']) kind;
INSERT INTO dunning (organization, invoice_id, state, began_at, stage, next_at)
SELECT organization, id, 'paid', issued_at, 1, issued_at FROM invoice WHERE right(organization, 1) = '0';
ANALYZE;

-- The month at work, which the statistics know nothing of.
SELECT pg_temp.invoiced(22, 22, FALSE);
