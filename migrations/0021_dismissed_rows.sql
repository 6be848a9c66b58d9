-- A row that was set aside and resolved was accepted after all, unless a person dismissed it: then why.
ALTER TABLE usage_quarantine ADD COLUMN dismissed TEXT;
