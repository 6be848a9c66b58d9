-- Documents beside invoices are history too.

CREATE TRIGGER document_no_update BEFORE UPDATE ON document BEGIN
    SELECT RAISE(ABORT, 'document is history: it is never changed or removed');
END;

CREATE TRIGGER document_no_delete BEFORE DELETE ON document BEGIN
    SELECT RAISE(ABORT, 'document is history: it is never changed or removed');
END;

CREATE TRIGGER credit_correction_no_update BEFORE UPDATE ON credit_correction BEGIN
    SELECT RAISE(ABORT, 'credit_correction is history: it is never changed or removed');
END;

CREATE TRIGGER credit_correction_no_delete BEFORE DELETE ON credit_correction BEGIN
    SELECT RAISE(ABORT, 'credit_correction is history: it is never changed or removed');
END;

CREATE TRIGGER notice_no_update BEFORE UPDATE ON notice BEGIN
    SELECT RAISE(ABORT, 'notice is history: it is never changed or removed');
END;

CREATE TRIGGER notice_no_delete BEFORE DELETE ON notice BEGIN
    SELECT RAISE(ABORT, 'notice is history: it is never changed or removed');
END;

CREATE TRIGGER refund_frozen BEFORE UPDATE OF organization, id, document_id, charge_id, key, currency, amount, method, created_at ON refund BEGIN
    SELECT RAISE(ABORT, 'what a refund is over is never changed');
END;

CREATE TRIGGER refund_no_delete BEFORE DELETE ON refund BEGIN
    SELECT RAISE(ABORT, 'refund is history: it is never removed');
END;
