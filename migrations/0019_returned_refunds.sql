-- A refund that went through may come back days later: the customer's bank did not take it.
ALTER TABLE refund ADD COLUMN returned_at TIMESTAMPTZ;
