-- What a charge and a purchase are over is frozen too; what is derived is never removed and never goes back.

CREATE TRIGGER charge_frozen BEFORE UPDATE OF organization, id, key, subject, subject_id, reference, attempt, currency, amount, payment_method, request_hash, created_at ON charge FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER purchase_frozen BEFORE UPDATE OF organization, id, package, package_name, credits, currency, net, tax, tax_percent, automatic, created_at ON purchase FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER purchase_ended BEFORE UPDATE ON purchase FOR EACH ROW WHEN (OLD.state <> 'open') EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head FOR EACH ROW WHEN (NEW.organization <> OLD.organization OR NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER series_forward BEFORE UPDATE ON series FOR EACH ROW WHEN (NEW.name <> OLD.name OR NEW.last < OLD.last) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER charge_no_delete BEFORE DELETE ON charge FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER purchase_no_delete BEFORE DELETE ON purchase FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_head_no_delete BEFORE DELETE ON ledger_head FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER series_no_delete BEFORE DELETE ON series FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_balance_no_delete BEFORE DELETE ON credit_balance FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER usage_rollup_no_delete BEFORE DELETE ON usage_rollup FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER mail_no_delete BEFORE DELETE ON mail FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER charge_no_truncate BEFORE TRUNCATE ON charge FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER purchase_no_truncate BEFORE TRUNCATE ON purchase FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_head_no_truncate BEFORE TRUNCATE ON ledger_head FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER series_no_truncate BEFORE TRUNCATE ON series FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_balance_no_truncate BEFORE TRUNCATE ON credit_balance FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER usage_rollup_no_truncate BEFORE TRUNCATE ON usage_rollup FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER mail_no_truncate BEFORE TRUNCATE ON mail FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoice_no_truncate BEFORE TRUNCATE ON invoice FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER billing_cycle_no_truncate BEFORE TRUNCATE ON billing_cycle FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER refund_no_truncate BEFORE TRUNCATE ON refund FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER webhook_no_truncate BEFORE TRUNCATE ON webhook FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER admission_no_truncate BEFORE TRUNCATE ON admission FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The application's role may add to history, and change only what moves. What it may do stands at each
-- table, as its comment; a table without one is closed to it.

COMMENT ON TABLE meta IS 'application: SELECT, INSERT, UPDATE (value)';
COMMENT ON TABLE catalog_version IS 'application: SELECT, INSERT';
COMMENT ON TABLE supplier_rate IS 'application: SELECT, INSERT, UPDATE (supplier, unit_price, recorded_at)';
COMMENT ON TABLE organization IS 'application: SELECT, INSERT, UPDATE (name, billing_emails, country, address, tax_id, tax_percent, language, payment_method, state, unpaid, terms_since, updated_at)';
COMMENT ON TABLE organization_terms IS 'application: SELECT, INSERT';
COMMENT ON TABLE billing_cycle IS 'application: SELECT, INSERT, UPDATE (terms, state, outcome, statement, closed_at)';
COMMENT ON TABLE usage_event IS 'application: SELECT, INSERT';
COMMENT ON TABLE usage_rollup IS 'application: SELECT, INSERT, UPDATE (events, credits)';
COMMENT ON TABLE usage_quarantine IS 'application: SELECT, INSERT, UPDATE (state, resolved_at, reason)';
COMMENT ON TABLE credit_grant IS 'application: SELECT, INSERT';
COMMENT ON TABLE credit_balance IS 'application: SELECT, INSERT, UPDATE (remaining)';
COMMENT ON TABLE ledger_head IS 'application: SELECT, INSERT, UPDATE (seq, hash)';
COMMENT ON TABLE ledger_transaction IS 'application: SELECT, INSERT';
COMMENT ON TABLE ledger_entry IS 'application: SELECT, INSERT';
COMMENT ON TABLE purchase IS 'application: SELECT, INSERT, UPDATE (state, cycle, grant_id, paid_at)';
COMMENT ON TABLE series IS 'application: SELECT, INSERT, UPDATE (last)';
COMMENT ON TABLE invoice IS 'application: SELECT, INSERT, UPDATE (status, payment_status, series, series_number, number, issued_on, issued_at, header, content_hash)';
COMMENT ON TABLE artifact IS 'application: SELECT, INSERT';
COMMENT ON TABLE charge IS 'application: SELECT, INSERT, UPDATE (state, provider_id, decline_code, decline_hard, message, lookups, first_sent_at, settled_at)';
COMMENT ON TABLE payment IS 'application: SELECT, INSERT';
COMMENT ON TABLE mail IS 'application: SELECT, INSERT, UPDATE (recipients, recipient, state, message_id, sent_at)';
COMMENT ON TABLE run IS 'application: SELECT, INSERT, UPDATE, DELETE';
COMMENT ON TABLE step IS 'application: SELECT, INSERT, UPDATE, DELETE';
COMMENT ON TABLE audit IS 'application: SELECT, INSERT';
COMMENT ON TABLE notice IS 'application: SELECT, INSERT';
COMMENT ON TABLE payment_method IS 'application: SELECT, INSERT, UPDATE (provider, brand, last4, expires, state, checked_at)';
COMMENT ON TABLE dunning IS 'application: SELECT, INSERT, UPDATE (state, stage, next_at)';
COMMENT ON TABLE document IS 'application: SELECT, INSERT';
COMMENT ON TABLE refund IS 'application: SELECT, INSERT, UPDATE (state, provider_id, message, lookups, first_sent_at, settled_at)';
COMMENT ON TABLE credit_correction IS 'application: SELECT, INSERT';
COMMENT ON TABLE recharge IS 'application: SELECT, INSERT, UPDATE (threshold, package, monthly_limit, cool_off_minutes, state, failures, last_at, updated_at)';
COMMENT ON TABLE provider_event IS 'application: SELECT, INSERT';
COMMENT ON TABLE watch IS 'application: SELECT, INSERT, UPDATE (due_at)';
COMMENT ON TABLE provider_health IS 'application: SELECT, INSERT, UPDATE (failures, open_until)';
COMMENT ON TABLE contact IS 'application: SELECT, INSERT, DELETE';
COMMENT ON TABLE alert IS 'application: SELECT, INSERT';
COMMENT ON TABLE expiry_notice IS 'application: SELECT, INSERT';
COMMENT ON TABLE admission IS 'application: SELECT, INSERT, UPDATE (state, reason, version, since)';
COMMENT ON TABLE webhook IS 'application: SELECT, INSERT, UPDATE (state, sent_at)';
COMMENT ON TABLE _sqlx_migrations IS 'application: SELECT';

-- For the owner, after CREATE ROLE: gives a role what the program needs at run time, and nothing else.
-- SECURITY INVOKER: whoever calls it needs the rights himself.
CREATE FUNCTION grant_application(role_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
    can_change text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
    FOR found IN
        SELECT relname AS name, substring(obj_description(oid, 'pg_class') FROM '^application: (.*)$') AS rights
        FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY relname
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %I FROM %I', found.name, role_name);
        IF found.rights IS NOT NULL THEN
            EXECUTE format('GRANT %s ON TABLE %I TO %I', found.rights, found.name, role_name);
        END IF;
    END LOOP;
    IF has_schema_privilege(role_name, current_schema(), 'CREATE') THEN
        RAISE EXCEPTION '% may still create in schema %: REVOKE CREATE ON SCHEMA % FROM PUBLIC', role_name,
            current_schema(), current_schema();
    END IF;
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name AND (rolsuper OR rolcreaterole)) THEN
        RAISE EXCEPTION '% may give itself any right: ALTER ROLE % NOSUPERUSER NOCREATEROLE', role_name, role_name;
    END IF;
    SELECT string_agg(relname, ', ' ORDER BY relname) INTO can_change
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
    AND obj_description(oid, 'pg_class') LIKE 'application: %'
    AND (pg_has_role(role_name, relowner, 'MEMBER') OR has_table_privilege(role_name, oid, 'TRUNCATE, TRIGGER')
        OR (obj_description(oid, 'pg_class') NOT LIKE '%DELETE%' AND has_table_privilege(role_name, oid, 'DELETE'))
        OR (obj_description(oid, 'pg_class') NOT LIKE '%UPDATE%' AND has_table_privilege(role_name, oid, 'UPDATE')));
    IF can_change IS NOT NULL THEN
        RAISE EXCEPTION '% may change history by another right or role it has: %', role_name, can_change;
    END IF;
END
$$;

-- After a migration: the same for every role that has been given it.
CREATE FUNCTION renew_application_grants() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT DISTINCT pg_get_userbyid(acl.grantee) AS name
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'ledger_entry'::regclass AND acl.grantee NOT IN (0, relowner) AND acl.privilege_type = 'INSERT'
    LOOP
        PERFORM grant_application(found.name);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION grant_application(text), renew_application_grants() FROM PUBLIC;
