-- What was held and confirmed is history.

CREATE TRIGGER brake_frozen BEFORE UPDATE OF run_id, ordinal, figures, reason, held_at ON brake BEGIN
    SELECT RAISE(ABORT, 'what a run was held for is never changed');
END;

CREATE TRIGGER brake_confirmed_once BEFORE UPDATE OF confirmed_at ON brake WHEN OLD.confirmed_at IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'a confirmation is never changed');
END;

CREATE TRIGGER brake_no_delete BEFORE DELETE ON brake BEGIN
    SELECT RAISE(ABORT, 'brake is history: it is never removed');
END;

CREATE TRIGGER feed_confirmation_no_update BEFORE UPDATE ON feed_confirmation BEGIN
    SELECT RAISE(ABORT, 'feed_confirmation is history: it is never changed or removed');
END;

CREATE TRIGGER feed_confirmation_no_delete BEFORE DELETE ON feed_confirmation BEGIN
    SELECT RAISE(ABORT, 'feed_confirmation is history: it is never changed or removed');
END;

-- Use that is here already counts as the history of its feed.
INSERT INTO feed (source, day, events)
SELECT source, date(at), COUNT(*) FROM usage_event GROUP BY source, date(at);
INSERT INTO feed_organization (source, organization, first_day, last_day)
SELECT source, organization, date(MIN(at)), date(MAX(at)) FROM usage_event GROUP BY source, organization;
