-- Only what went through comes back, and only once.
CREATE TRIGGER refund_returned_once BEFORE UPDATE OF returned_at ON refund FOR EACH ROW WHEN (OLD.returned_at IS NOT NULL OR OLD.state <> 'succeeded') EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE refund IS 'application: SELECT, INSERT, UPDATE (state, provider_id, message, lookups, first_sent_at, settled_at, returned_at)';

-- Roles that were given the application's rights get them here, in the same transaction.
SELECT renew_application_grants();
