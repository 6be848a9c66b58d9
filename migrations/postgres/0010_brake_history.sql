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

-- What was held and confirmed is history.
CREATE TRIGGER brake_frozen BEFORE UPDATE OF run_id, ordinal, figures, reason, held_at ON brake FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER brake_confirmed_once BEFORE UPDATE OF confirmed_at ON brake FOR EACH ROW WHEN (OLD.confirmed_at IS NOT NULL) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER brake_no_delete BEFORE DELETE ON brake FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER feed_confirmation_no_update BEFORE UPDATE ON feed_confirmation FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER feed_confirmation_no_delete BEFORE DELETE ON feed_confirmation FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Use that is here already counts as the history of its feed.
INSERT INTO feed (source, day, events)
SELECT source, CAST(at AT TIME ZONE 'UTC' AS DATE), COUNT(*) FROM usage_event
GROUP BY source, CAST(at AT TIME ZONE 'UTC' AS DATE);
INSERT INTO feed_organization (source, organization, first_day, last_day)
SELECT source, organization, CAST(MIN(at) AT TIME ZONE 'UTC' AS DATE), CAST(MAX(at) AT TIME ZONE 'UTC' AS DATE)
FROM usage_event GROUP BY source, organization;
