-- What a charge and a purchase are over is frozen too; what is derived is never removed and never goes back.

CREATE TRIGGER charge_frozen BEFORE UPDATE OF organization, id, key, subject, subject_id, reference, attempt, currency, amount, payment_method, request_hash, created_at ON charge BEGIN
    SELECT RAISE(ABORT, 'what a charge is over is never changed');
END;

CREATE TRIGGER purchase_frozen BEFORE UPDATE OF organization, id, package, package_name, credits, currency, net, tax, tax_percent, automatic, created_at ON purchase BEGIN
    SELECT RAISE(ABORT, 'what was bought is never changed');
END;

CREATE TRIGGER purchase_ended BEFORE UPDATE ON purchase WHEN OLD.state <> 'open' BEGIN
    SELECT RAISE(ABORT, 'a purchase that ended is never changed');
END;

CREATE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head WHEN NEW.organization <> OLD.organization OR NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash) BEGIN
    SELECT RAISE(ABORT, 'a chain never becomes shorter');
END;

CREATE TRIGGER series_forward BEFORE UPDATE ON series WHEN NEW.name <> OLD.name OR NEW.last < OLD.last BEGIN
    SELECT RAISE(ABORT, 'numbers never go back');
END;

CREATE TRIGGER charge_no_delete BEFORE DELETE ON charge BEGIN
    SELECT RAISE(ABORT, 'charge is history: it is never removed');
END;

CREATE TRIGGER purchase_no_delete BEFORE DELETE ON purchase BEGIN
    SELECT RAISE(ABORT, 'purchase is history: it is never removed');
END;

CREATE TRIGGER ledger_head_no_delete BEFORE DELETE ON ledger_head BEGIN
    SELECT RAISE(ABORT, 'ledger_head is history: it is never removed');
END;

CREATE TRIGGER series_no_delete BEFORE DELETE ON series BEGIN
    SELECT RAISE(ABORT, 'series is history: it is never removed');
END;

CREATE TRIGGER credit_balance_no_delete BEFORE DELETE ON credit_balance BEGIN
    SELECT RAISE(ABORT, 'credit_balance is history: it is never removed');
END;

CREATE TRIGGER usage_rollup_no_delete BEFORE DELETE ON usage_rollup BEGIN
    SELECT RAISE(ABORT, 'usage_rollup is history: it is never removed');
END;

CREATE TRIGGER mail_no_delete BEFORE DELETE ON mail BEGIN
    SELECT RAISE(ABORT, 'mail is history: it is never removed');
END;

-- REPLACE removes the row in its way without asking a trigger for deletions, unless the connection says
-- so (recursive_triggers, which this program does): these refuse it on any connection.

CREATE TRIGGER ledger_transaction_no_replace BEFORE INSERT ON ledger_transaction WHEN EXISTS (SELECT 1 FROM ledger_transaction WHERE organization = NEW.organization AND seq = NEW.seq) OR EXISTS (SELECT 1 FROM ledger_transaction WHERE organization = NEW.organization AND key = NEW.key) BEGIN
    SELECT RAISE(ABORT, 'ledger_transaction is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER ledger_entry_no_replace BEFORE INSERT ON ledger_entry WHEN EXISTS (SELECT 1 FROM ledger_entry WHERE organization = NEW.organization AND seq = NEW.seq AND line = NEW.line) BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER credit_grant_no_replace BEFORE INSERT ON credit_grant WHEN EXISTS (SELECT 1 FROM credit_grant WHERE organization = NEW.organization AND id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'credit_grant is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER catalog_version_no_replace BEFORE INSERT ON catalog_version WHEN EXISTS (SELECT 1 FROM catalog_version WHERE version = NEW.version) BEGIN
    SELECT RAISE(ABORT, 'catalog_version is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER payment_no_replace BEFORE INSERT ON payment WHEN EXISTS (SELECT 1 FROM payment WHERE organization = NEW.organization AND id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'payment is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq) BEGIN
    SELECT RAISE(ABORT, 'audit is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER organization_terms_no_replace BEFORE INSERT ON organization_terms WHEN EXISTS (SELECT 1 FROM organization_terms WHERE organization = NEW.organization AND effective_at = NEW.effective_at) BEGIN
    SELECT RAISE(ABORT, 'organization_terms is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER billing_cycle_no_replace BEFORE INSERT ON billing_cycle WHEN EXISTS (SELECT 1 FROM billing_cycle WHERE organization = NEW.organization AND cycle = NEW.cycle) BEGIN
    SELECT RAISE(ABORT, 'billing_cycle is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER invoice_no_replace BEFORE INSERT ON invoice WHEN EXISTS (SELECT 1 FROM invoice WHERE organization = NEW.organization AND id = NEW.id) OR EXISTS (SELECT 1 FROM invoice WHERE organization = NEW.organization AND cycle = NEW.cycle) OR EXISTS (SELECT 1 FROM invoice WHERE number = NEW.number) OR EXISTS (SELECT 1 FROM invoice WHERE series = NEW.series AND series_number = NEW.series_number) BEGIN
    SELECT RAISE(ABORT, 'invoice is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER document_no_replace BEFORE INSERT ON document WHEN EXISTS (SELECT 1 FROM document WHERE organization = NEW.organization AND id = NEW.id) OR EXISTS (SELECT 1 FROM document WHERE number = NEW.number) OR EXISTS (SELECT 1 FROM document WHERE series = NEW.series AND series_number = NEW.series_number) BEGIN
    SELECT RAISE(ABORT, 'document is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER credit_correction_no_replace BEFORE INSERT ON credit_correction WHEN EXISTS (SELECT 1 FROM credit_correction WHERE organization = NEW.organization AND document_id = NEW.document_id AND grant_id = NEW.grant_id) BEGIN
    SELECT RAISE(ABORT, 'credit_correction is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER charge_no_replace BEFORE INSERT ON charge WHEN EXISTS (SELECT 1 FROM charge WHERE organization = NEW.organization AND id = NEW.id) OR EXISTS (SELECT 1 FROM charge WHERE key = NEW.key) OR EXISTS (SELECT 1 FROM charge WHERE organization = NEW.organization AND subject_id = NEW.subject_id AND attempt = NEW.attempt) BEGIN
    SELECT RAISE(ABORT, 'charge is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER purchase_no_replace BEFORE INSERT ON purchase WHEN EXISTS (SELECT 1 FROM purchase WHERE organization = NEW.organization AND id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'purchase is history: a row of its unique key is there and is never replaced');
END;

CREATE TRIGGER refund_no_replace BEFORE INSERT ON refund WHEN EXISTS (SELECT 1 FROM refund WHERE organization = NEW.organization AND id = NEW.id) OR EXISTS (SELECT 1 FROM refund WHERE key = NEW.key) BEGIN
    SELECT RAISE(ABORT, 'refund is history: a row of its unique key is there and is never replaced');
END;
