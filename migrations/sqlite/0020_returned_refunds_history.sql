-- Only what went through comes back, and only once.
CREATE TRIGGER refund_returned_once BEFORE UPDATE OF returned_at ON refund WHEN OLD.returned_at IS NOT NULL OR OLD.state <> 'succeeded' BEGIN
    SELECT RAISE(ABORT, 'refund is history: only one that was made comes back, and once');
END;
