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

-- What was taken back is history, too.
CREATE TRIGGER payment_reversal_no_change BEFORE UPDATE OR DELETE ON payment_reversal FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payment_reversal_no_truncate BEFORE TRUNCATE ON payment_reversal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Money that a charge took is given back by a credit note, not taken back by hand. Tables are named with their schema:
-- whoever runs a statement may have a temporary table of the same name.
CREATE FUNCTION refuse_reversal_of_charge() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_transfer boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.payment WHERE organization = $1 AND id = $2 AND method = ''transfer'')', TG_TABLE_SCHEMA)
        INTO is_transfer USING NEW.organization, NEW.payment_id;
    IF NOT is_transfer THEN
        RAISE EXCEPTION 'payment is history: only a recorded transfer is taken back' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER payment_reversal_of_transfer BEFORE INSERT ON payment_reversal FOR EACH ROW EXECUTE FUNCTION refuse_reversal_of_charge();

-- What is settled stays settled, unless the payment that settled it was taken back.
CREATE FUNCTION refuse_unsettling() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_paid boolean;
    is_paid boolean;
BEGIN
    EXECUTE format('SELECT COUNT(*) > 0, COUNT(*) > COUNT(r.payment_id) FROM %1$I.payment p LEFT JOIN %1$I.payment_reversal r ON r.organization = p.organization AND r.payment_id = p.id WHERE p.organization = $1 AND p.invoice_id = $2', TG_TABLE_SCHEMA)
        INTO was_paid, is_paid USING OLD.organization, OLD.id;
    IF NEW.status <> 'issued' OR OLD.payment_status <> 'paid' OR NOT was_paid OR is_paid THEN
        RAISE EXCEPTION 'invoice is history: one that is settled stays so' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER invoice_final ON invoice;
CREATE TRIGGER invoice_final BEFORE UPDATE OF status ON invoice FOR EACH ROW WHEN (OLD.status = 'settled' AND NEW.status <> 'settled') EXECUTE FUNCTION refuse_unsettling();

COMMENT ON TABLE payment_reversal IS 'application: SELECT, INSERT';
-- A calendar begins anew.
COMMENT ON TABLE dunning IS 'application: SELECT, INSERT, UPDATE (state, began_at, stage, next_at)';

-- Roles that were given the application's rights get them here, in the same transaction.
SELECT renew_application_grants();
