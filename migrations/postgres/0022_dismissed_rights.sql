COMMENT ON TABLE usage_quarantine IS 'application: SELECT, INSERT, UPDATE (state, resolved_at, reason, dismissed)';

-- Roles that were given the application's rights get them here, in the same transaction.
SELECT renew_application_grants();
