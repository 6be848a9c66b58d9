-- What the application may do with the tables of the brakes.
COMMENT ON TABLE brake IS 'application: SELECT, INSERT, UPDATE (confirmed_at)';
COMMENT ON TABLE feed IS 'application: SELECT, INSERT, UPDATE (events)';
COMMENT ON TABLE feed_organization IS 'application: SELECT, INSERT, UPDATE (first_day, last_day)';
COMMENT ON TABLE feed_confirmation IS 'application: SELECT, INSERT';

CREATE TRIGGER brake_no_truncate BEFORE TRUNCATE ON brake FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER feed_confirmation_no_truncate BEFORE TRUNCATE ON feed_confirmation FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Roles that were given the application's rights get them here, in the same transaction.
SELECT renew_application_grants();
