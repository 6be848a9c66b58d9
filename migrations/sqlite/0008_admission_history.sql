-- What a webhook tells is frozen; only whether it was sent changes.

CREATE TRIGGER webhook_frozen BEFORE UPDATE OF organization, id, endpoint, event, version, payload, created_at ON webhook BEGIN
    SELECT RAISE(ABORT, 'what a webhook tells is never changed');
END;

CREATE TRIGGER webhook_no_delete BEFORE DELETE ON webhook BEGIN
    SELECT RAISE(ABORT, 'webhook is history: it is never removed');
END;

CREATE TRIGGER admission_no_delete BEFORE DELETE ON admission BEGIN
    SELECT RAISE(ABORT, 'admission is history: it is never removed');
END;

CREATE TRIGGER admission_forward BEFORE UPDATE ON admission WHEN NEW.version <> OLD.version + 1 BEGIN
    SELECT RAISE(ABORT, 'versions of an admission have no holes');
END;
