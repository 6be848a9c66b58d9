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

-- What a webhook tells is frozen; only whether it was sent changes.
CREATE TRIGGER webhook_frozen BEFORE UPDATE OF organization, id, endpoint, event, version, payload, created_at ON webhook FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER webhook_no_delete BEFORE DELETE ON webhook FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER admission_no_delete BEFORE DELETE ON admission FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER admission_forward BEFORE UPDATE ON admission FOR EACH ROW WHEN (NEW.version <> OLD.version + 1) EXECUTE FUNCTION refuse_change();
