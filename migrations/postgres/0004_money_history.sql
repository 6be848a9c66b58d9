-- Text of the new tables is compared byte by byte too.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
        AND table_name NOT LIKE '\_sqlx%'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', found.table_name, found.column_name);
    END LOOP;
END
$$;

-- Documents beside invoices are history too.
CREATE TRIGGER document_no_change BEFORE UPDATE OR DELETE ON document FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER document_no_truncate BEFORE TRUNCATE ON document FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_correction_no_change BEFORE UPDATE OR DELETE ON credit_correction FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_correction_no_truncate BEFORE TRUNCATE ON credit_correction FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER notice_no_change BEFORE UPDATE OR DELETE ON notice FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER notice_no_truncate BEFORE TRUNCATE ON notice FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER refund_frozen BEFORE UPDATE OF organization, id, document_id, charge_id, key, currency, amount, method, created_at ON refund FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER refund_no_delete BEFORE DELETE ON refund FOR EACH ROW EXECUTE FUNCTION refuse_change();
