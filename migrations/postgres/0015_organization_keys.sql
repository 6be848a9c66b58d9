-- Every key of a table that an organization owns names the organization, so that the tables can be spread over several
-- servers by it. What was unique over all organizations stays so by how it is made: numbers are taken under the lock of
-- their series, keys are derived from the organization; `verify` looks at both. Look-ups without the organization keep
-- an index.
DROP INDEX invoice_series;
CREATE UNIQUE INDEX invoice_series ON invoice (organization, series, series_number);
CREATE INDEX invoice_of_series ON invoice (series, series_number);
DROP INDEX invoice_number;
CREATE UNIQUE INDEX invoice_number ON invoice (organization, number);
CREATE INDEX invoice_of_number ON invoice (number);

DROP INDEX document_series;
CREATE UNIQUE INDEX document_series ON document (organization, series, series_number);
CREATE INDEX document_of_series ON document (series, series_number);
DROP INDEX document_number;
CREATE UNIQUE INDEX document_number ON document (organization, number);
CREATE INDEX document_of_number ON document (number);

DROP INDEX charge_key;
CREATE UNIQUE INDEX charge_key ON charge (organization, key);
CREATE INDEX charge_of_key ON charge (key);

DROP INDEX refund_key;
CREATE UNIQUE INDEX refund_key ON refund (organization, key);
CREATE INDEX refund_of_key ON refund (key);
