-- Steps of a rank go by their organizations: rows of neighbours lie on the same pages, and are written together.
DROP INDEX step_claim;
CREATE INDEX step_claim ON step (rank, ordinal, first_organization, id) WHERE state IN ('ready', 'leased');
