-- REPLACE asks no trigger for deletions on every connection.
CREATE TRIGGER brake_no_replace BEFORE INSERT ON brake WHEN EXISTS (SELECT 1 FROM brake WHERE run_id = NEW.run_id AND ordinal = NEW.ordinal) BEGIN
    SELECT RAISE(ABORT, 'brake is history: a row of its unique key is there and is never replaced');
END;
