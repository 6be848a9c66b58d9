-- What was taken back is history, too.

CREATE TRIGGER payment_reversal_no_update BEFORE UPDATE ON payment_reversal BEGIN
    SELECT RAISE(ABORT, 'payment_reversal is history: it is never changed or removed');
END;

CREATE TRIGGER payment_reversal_no_delete BEFORE DELETE ON payment_reversal BEGIN
    SELECT RAISE(ABORT, 'payment_reversal is history: it is never changed or removed');
END;

CREATE TRIGGER payment_reversal_no_replace BEFORE INSERT ON payment_reversal WHEN EXISTS (SELECT 1 FROM payment_reversal WHERE organization = NEW.organization AND payment_id = NEW.payment_id) BEGIN
    SELECT RAISE(ABORT, 'payment_reversal is history: a row of its unique key is there and is never replaced');
END;

-- Money that a charge took is given back by a credit note, not taken back by hand.
CREATE TRIGGER payment_reversal_of_transfer BEFORE INSERT ON payment_reversal WHEN NOT EXISTS (SELECT 1 FROM payment WHERE organization = NEW.organization AND id = NEW.payment_id AND method = 'transfer') BEGIN
    SELECT RAISE(ABORT, 'payment is history: only a recorded transfer is taken back');
END;

-- What is settled stays settled, unless the payment that settled it was taken back.
DROP TRIGGER invoice_final;
CREATE TRIGGER invoice_final BEFORE UPDATE OF status ON invoice WHEN OLD.status = 'settled' AND NEW.status <> 'settled' AND (NEW.status <> 'issued' OR OLD.payment_status <> 'paid' OR NOT EXISTS (SELECT 1 FROM payment p WHERE p.organization = OLD.organization AND p.invoice_id = OLD.id) OR EXISTS (SELECT 1 FROM payment p WHERE p.organization = OLD.organization AND p.invoice_id = OLD.id AND NOT EXISTS (SELECT 1 FROM payment_reversal r WHERE r.organization = p.organization AND r.payment_id = p.id))) BEGIN
    SELECT RAISE(ABORT, 'invoice is history: one that is settled stays so');
END;
