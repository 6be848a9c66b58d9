-- What was told is history too.

CREATE TRIGGER alert_no_update BEFORE UPDATE ON alert BEGIN
    SELECT RAISE(ABORT, 'alert is history: it is never changed or removed');
END;

CREATE TRIGGER alert_no_delete BEFORE DELETE ON alert BEGIN
    SELECT RAISE(ABORT, 'alert is history: it is never changed or removed');
END;

CREATE TRIGGER expiry_notice_no_update BEFORE UPDATE ON expiry_notice BEGIN
    SELECT RAISE(ABORT, 'expiry_notice is history: it is never changed or removed');
END;

CREATE TRIGGER expiry_notice_no_delete BEFORE DELETE ON expiry_notice BEGIN
    SELECT RAISE(ABORT, 'expiry_notice is history: it is never changed or removed');
END;
