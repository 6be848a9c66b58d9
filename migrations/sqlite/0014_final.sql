-- Money that was taken or given back stays so, and what is settled stays settled.

CREATE TRIGGER charge_final BEFORE UPDATE OF state ON charge WHEN OLD.state = 'succeeded' AND NEW.state <> 'succeeded' BEGIN
    SELECT RAISE(ABORT, 'charge is history: one that took money stays so');
END;

CREATE TRIGGER refund_final BEFORE UPDATE OF state ON refund WHEN OLD.state = 'succeeded' AND NEW.state <> 'succeeded' BEGIN
    SELECT RAISE(ABORT, 'refund is history: one that was made stays so');
END;

CREATE TRIGGER invoice_final BEFORE UPDATE OF status ON invoice WHEN OLD.status = 'settled' AND NEW.status <> 'settled' BEGIN
    SELECT RAISE(ABORT, 'invoice is history: one that is settled stays so');
END;
