-- Claims name no organization: they go through step_claim, in their order, and not through all steps that wait.
DROP INDEX step_organization;
CREATE INDEX step_organization ON step (organization, kind)
    WHERE organization IS NOT NULL AND state IN ('ready', 'leased', 'parked');
