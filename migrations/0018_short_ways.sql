-- What a month looks for is found without going through the months before it. Tables in the order in which a worker
-- takes them.

-- Steps of ranges and files that are not done, and those that wait for a person.
CREATE INDEX step_shared ON step (kind) WHERE organization IS NULL AND state <> 'done';
CREATE INDEX step_parked ON step (run_id) WHERE state = 'parked';
DROP INDEX step_held;
CREATE INDEX run_open ON run (id) WHERE state <> 'done';

-- Grants with credits left: those that are used up or expired stay behind.
CREATE INDEX credit_grant_bought ON credit_grant (organization, cycle) WHERE source <> 'allowance';
CREATE INDEX credit_balance_left ON credit_balance (organization, grant_id) WHERE remaining > 0;

CREATE INDEX invoice_not_paid ON invoice (organization, id)
    WHERE status = 'issued' AND payment_status IN ('declined', 'needs_action');

-- Charges that did not take money, or not yet. This was by state, for all organizations.
CREATE INDEX charge_not_taken ON charge (organization, payment_method) WHERE state <> 'succeeded';
DROP INDEX charge_unsettled;

-- Documents of a cycle, of everybody or of one: a rerun makes lost ones again.
CREATE INDEX document_cycle ON document (cycle, organization);
