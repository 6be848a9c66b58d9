-- Money that was taken or given back stays so, and what is settled stays settled.

CREATE TRIGGER charge_final BEFORE UPDATE OF state ON charge FOR EACH ROW WHEN (OLD.state = 'succeeded' AND NEW.state <> 'succeeded') EXECUTE FUNCTION refuse_change();

CREATE TRIGGER refund_final BEFORE UPDATE OF state ON refund FOR EACH ROW WHEN (OLD.state = 'succeeded' AND NEW.state <> 'succeeded') EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoice_final BEFORE UPDATE OF status ON invoice FOR EACH ROW WHEN (OLD.status = 'settled' AND NEW.status <> 'settled') EXECUTE FUNCTION refuse_change();
