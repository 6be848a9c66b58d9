-- Text is compared byte by byte, as on SQLite: ranges and orders are the same on both engines.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type = 'text' AND table_name NOT LIKE '\_sqlx%'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', found.table_name, found.column_name);
    END LOOP;
END
$$;

-- History is append-only: the database itself refuses to change or remove it.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is history: it is never changed or removed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER ledger_transaction_no_change BEFORE UPDATE OR DELETE ON ledger_transaction FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_transaction_no_truncate BEFORE TRUNCATE ON ledger_transaction FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_entry_no_change BEFORE UPDATE OR DELETE ON ledger_entry FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_entry_no_truncate BEFORE TRUNCATE ON ledger_entry FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_grant_no_change BEFORE UPDATE OR DELETE ON credit_grant FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_grant_no_truncate BEFORE TRUNCATE ON credit_grant FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER usage_event_no_change BEFORE UPDATE OR DELETE ON usage_event FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER usage_event_no_truncate BEFORE TRUNCATE ON usage_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER catalog_version_no_change BEFORE UPDATE OR DELETE ON catalog_version FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER catalog_version_no_truncate BEFORE TRUNCATE ON catalog_version FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER artifact_no_change BEFORE UPDATE OR DELETE ON artifact FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER artifact_no_truncate BEFORE TRUNCATE ON artifact FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payment_no_change BEFORE UPDATE OR DELETE ON payment FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payment_no_truncate BEFORE TRUNCATE ON payment FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER organization_terms_no_change BEFORE UPDATE OR DELETE ON organization_terms FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER organization_terms_no_truncate BEFORE TRUNCATE ON organization_terms FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoice_frozen BEFORE UPDATE OF organization, id, cycle, currency, subtotal, tax, total, prepaid, amount_due, draft, series, series_number, number, issued_on, issued_at, header, content_hash ON invoice FOR EACH ROW WHEN (OLD.status <> 'draft') EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoice_status BEFORE UPDATE OF status ON invoice FOR EACH ROW WHEN (OLD.status <> 'draft' AND NEW.status = 'draft') EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoice_no_delete BEFORE DELETE ON invoice FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER billing_cycle_frozen BEFORE UPDATE ON billing_cycle FOR EACH ROW WHEN (OLD.state = 'closed') EXECUTE FUNCTION refuse_change();

CREATE TRIGGER billing_cycle_no_delete BEFORE DELETE ON billing_cycle FOR EACH ROW EXECUTE FUNCTION refuse_change();
