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

-- What was told is history too.
CREATE TRIGGER alert_no_change BEFORE UPDATE OR DELETE ON alert FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER alert_no_truncate BEFORE TRUNCATE ON alert FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER expiry_notice_no_change BEFORE UPDATE OR DELETE ON expiry_notice FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER expiry_notice_no_truncate BEFORE TRUNCATE ON expiry_notice FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
