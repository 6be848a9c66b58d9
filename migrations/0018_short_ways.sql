-- What a month looks for is found without going through the months before it.

-- Grants with credits left: those that are used up or expired stay behind.
CREATE INDEX credit_balance_left ON credit_balance (organization, grant_id) WHERE remaining > 0;
CREATE INDEX credit_grant_bought ON credit_grant (organization, cycle) WHERE source <> 'allowance';

-- Charges that did not take money, or not yet. This was by state, for all organizations.
DROP INDEX charge_unsettled;
CREATE INDEX charge_not_taken ON charge (organization, payment_method) WHERE state <> 'succeeded';

CREATE INDEX invoice_not_paid ON invoice (organization, id)
    WHERE status = 'issued' AND payment_status IN ('declined', 'needs_action');

-- Steps of ranges and files that are not done, and those that wait for a person.
CREATE INDEX step_shared ON step (kind) WHERE organization IS NULL AND state <> 'done';
DROP INDEX step_held;
CREATE INDEX step_parked ON step (run_id) WHERE state = 'parked';
CREATE INDEX run_open ON run (id) WHERE state <> 'done';
