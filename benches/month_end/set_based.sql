-- The whole close as one transaction of set-based statements.
CREATE TEMP TABLE demand ON COMMIT DROP AS
    SELECT organization, meter, CAST(SUM(credits) AS BIGINT) AS credits FROM plain.usage GROUP BY organization, meter;
ANALYZE demand;
-- Burn in order: what lies before a grant is taken first; then lapse, and cut carried allowance to the cap.
CREATE TEMP TABLE burned ON COMMIT DROP AS
WITH needed AS (
    SELECT organization, CAST(SUM(credits) AS BIGINT) AS credits FROM demand GROUP BY organization
), ordered AS (
    SELECT g.organization, g.id, g.source, g.remaining, g.last_cycle,
        row_number() OVER burn AS place, COALESCE(n.credits, 0) AS needed, o.cap,
        COALESCE(SUM(g.remaining) OVER (burn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM plain.credit_grant g JOIN plain.organization o ON o.id = g.organization
        LEFT JOIN needed n ON n.organization = g.organization
    WHERE g.remaining > 0
    WINDOW burn AS (PARTITION BY g.organization ORDER BY g.last_cycle NULLS LAST, g.source, g.id)
), taken AS (
    SELECT *, CAST(GREATEST(0, LEAST(remaining, needed - before)) AS BIGINT) AS used,
        COALESCE(last_cycle <= '2026-01', FALSE) AS ends
    FROM ordered
), kept AS (
    SELECT *, remaining - used AS rest,
        CASE WHEN source = 'allowance' AND NOT ends THEN remaining - used ELSE 0 END AS carried
    FROM taken
), capped AS (
    SELECT *,
        CASE WHEN cap IS NULL THEN 0 ELSE GREATEST(0, SUM(carried) OVER (PARTITION BY organization) - cap) END AS over,
        COALESCE(SUM(carried) OVER (PARTITION BY organization ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS carried_before
    FROM kept
)
SELECT organization, id, place, used,
    CAST(CASE WHEN ends THEN rest ELSE GREATEST(0, LEAST(carried, over - carried_before)) END AS BIGINT) AS expired,
    remaining
FROM capped;
ANALYZE burned;
-- What each organization is billed.
CREATE TEMP TABLE billed ON COMMIT DROP AS
WITH needed AS (
    SELECT organization, SUM(credits) AS credits FROM demand GROUP BY organization
), covered AS (
    SELECT organization, SUM(used) AS credits FROM burned GROUP BY organization
), uncovered AS (
    SELECT o.*, CAST(COALESCE(n.credits, 0) - COALESCE(c.credits, 0) AS BIGINT) AS beyond
    FROM plain.organization o LEFT JOIN needed n ON n.organization = o.id LEFT JOIN covered c ON c.organization = o.id
), amounts AS (
    SELECT *, plain.half_even(fee * (32 - joined_day), 31) AS part,
        CASE WHEN price IS NULL THEN 0
            ELSE plain.half_even(CAST(beyond AS NUMERIC) * price, 1000000000) END AS overage
    FROM uncovered
)
SELECT *, part + overage AS subtotal, plain.half_even((part + overage) * tax_percent, 100) AS tax FROM amounts;
ANALYZE billed;
INSERT INTO plain.ledger
SELECT organization, row_number() OVER (PARTITION BY organization ORDER BY place, account), account, grant_id, credits
FROM (
    SELECT organization, place * 4 AS place, 'grant' AS account, id AS grant_id, -used AS credits FROM burned WHERE used > 0
    UNION ALL SELECT organization, place * 4 + 1, 'used', id, used FROM burned WHERE used > 0
    UNION ALL SELECT organization, place * 4 + 2, 'grant', id, -expired FROM burned WHERE expired > 0
    UNION ALL SELECT organization, place * 4 + 3, 'expired', id, expired FROM burned WHERE expired > 0
    UNION ALL SELECT id, 1000, 'receivable', '', -beyond FROM billed WHERE price IS NOT NULL AND beyond > 0
    UNION ALL SELECT id, 1001, 'overage', '', beyond FROM billed WHERE price IS NOT NULL AND beyond > 0
    UNION ALL SELECT id, 1002, 'issued', 'next-' || id, -allowance FROM billed WHERE allowance > 0
    UNION ALL SELECT id, 1003, 'grant', 'next-' || id, allowance FROM billed WHERE allowance > 0
) AS entries;
UPDATE plain.credit_grant g SET remaining = b.remaining - b.used - b.expired
FROM burned b WHERE b.organization = g.organization AND b.id = g.id AND b.used + b.expired > 0;
INSERT INTO plain.invoice
SELECT row_number() OVER (ORDER BY id), id, subtotal, tax, subtotal + tax FROM billed;
INSERT INTO plain.invoice_line
SELECT organization, row_number() OVER (PARTITION BY organization ORDER BY place, kind), kind, quantity, amount
FROM (
    SELECT id AS organization, 1 AS place, 'plan_fee' AS kind, CAST(1 AS BIGINT) AS quantity, part AS amount
        FROM billed WHERE part > 0
    UNION ALL SELECT id, 2, 'overage', beyond, overage FROM billed WHERE price IS NOT NULL AND beyond > 0
    UNION ALL SELECT organization, 3, 'usage of ' || meter, credits, 0 FROM demand
) AS lines;
UPDATE plain.cycle c SET state = 'closed', deficit = CASE WHEN b.price IS NULL THEN b.beyond ELSE 0 END
FROM billed b WHERE c.organization = b.id AND c.cycle = '2026-01';
INSERT INTO plain.cycle SELECT id, '2026-02', 'open', 0 FROM billed;
INSERT INTO plain.credit_grant
SELECT id, 'next-' || id, 'allowance', allowance, next_last_cycle, allowance FROM billed WHERE allowance > 0;
