-- A transfer that was recorded by mistake is taken back: its payment stays as it was, and this says so beside it.
CREATE TABLE payment_reversal (
    organization TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    reversed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, payment_id),
    FOREIGN KEY (organization, payment_id) REFERENCES payment (organization, id)
);

-- Finance is told where one reference of the bank was recorded before.
CREATE INDEX payment_transfer ON payment (reference) WHERE method = 'transfer';
