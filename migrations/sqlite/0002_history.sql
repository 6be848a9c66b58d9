-- History is append-only: the database itself refuses to change or remove it.

CREATE TRIGGER ledger_transaction_no_update BEFORE UPDATE ON ledger_transaction BEGIN
    SELECT RAISE(ABORT, 'ledger_transaction is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_transaction_no_delete BEFORE DELETE ON ledger_transaction BEGIN
    SELECT RAISE(ABORT, 'ledger_transaction is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_entry_no_update BEFORE UPDATE ON ledger_entry BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is history: it is never changed or removed');
END;

CREATE TRIGGER ledger_entry_no_delete BEFORE DELETE ON ledger_entry BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is history: it is never changed or removed');
END;

CREATE TRIGGER credit_grant_no_update BEFORE UPDATE ON credit_grant BEGIN
    SELECT RAISE(ABORT, 'credit_grant is history: it is never changed or removed');
END;

CREATE TRIGGER credit_grant_no_delete BEFORE DELETE ON credit_grant BEGIN
    SELECT RAISE(ABORT, 'credit_grant is history: it is never changed or removed');
END;

CREATE TRIGGER usage_event_no_update BEFORE UPDATE ON usage_event BEGIN
    SELECT RAISE(ABORT, 'usage_event is history: it is never changed or removed');
END;

CREATE TRIGGER usage_event_no_delete BEFORE DELETE ON usage_event BEGIN
    SELECT RAISE(ABORT, 'usage_event is history: it is never changed or removed');
END;

CREATE TRIGGER catalog_version_no_update BEFORE UPDATE ON catalog_version BEGIN
    SELECT RAISE(ABORT, 'catalog_version is history: it is never changed or removed');
END;

CREATE TRIGGER catalog_version_no_delete BEFORE DELETE ON catalog_version BEGIN
    SELECT RAISE(ABORT, 'catalog_version is history: it is never changed or removed');
END;

CREATE TRIGGER artifact_no_update BEFORE UPDATE ON artifact BEGIN
    SELECT RAISE(ABORT, 'artifact is history: it is never changed or removed');
END;

CREATE TRIGGER artifact_no_delete BEFORE DELETE ON artifact BEGIN
    SELECT RAISE(ABORT, 'artifact is history: it is never changed or removed');
END;

CREATE TRIGGER payment_no_update BEFORE UPDATE ON payment BEGIN
    SELECT RAISE(ABORT, 'payment is history: it is never changed or removed');
END;

CREATE TRIGGER payment_no_delete BEFORE DELETE ON payment BEGIN
    SELECT RAISE(ABORT, 'payment is history: it is never changed or removed');
END;

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'audit is history: it is never changed or removed');
END;

CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'audit is history: it is never changed or removed');
END;

CREATE TRIGGER organization_terms_no_update BEFORE UPDATE ON organization_terms BEGIN
    SELECT RAISE(ABORT, 'organization_terms is history: it is never changed or removed');
END;

CREATE TRIGGER organization_terms_no_delete BEFORE DELETE ON organization_terms BEGIN
    SELECT RAISE(ABORT, 'organization_terms is history: it is never changed or removed');
END;

CREATE TRIGGER invoice_frozen BEFORE UPDATE OF organization, id, cycle, currency, subtotal, tax, total, prepaid, amount_due, draft, series, series_number, number, issued_on, issued_at, header, content_hash ON invoice WHEN OLD.status <> 'draft' BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never changed');
END;

CREATE TRIGGER invoice_status BEFORE UPDATE OF status ON invoice WHEN OLD.status <> 'draft' AND NEW.status = 'draft' BEGIN
    SELECT RAISE(ABORT, 'an issued invoice never becomes a draft again');
END;

CREATE TRIGGER invoice_no_delete BEFORE DELETE ON invoice BEGIN
    SELECT RAISE(ABORT, 'invoice is history: it is never removed');
END;

CREATE TRIGGER billing_cycle_frozen BEFORE UPDATE ON billing_cycle WHEN OLD.state = 'closed' BEGIN
    SELECT RAISE(ABORT, 'a closed cycle is never changed');
END;

CREATE TRIGGER billing_cycle_no_delete BEFORE DELETE ON billing_cycle BEGIN
    SELECT RAISE(ABORT, 'billing_cycle is history: it is never removed');
END;
