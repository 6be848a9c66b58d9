-- What a dead worker left is looked for every second: only steps in hand are looked at, however many wait.
CREATE INDEX step_leased ON step (lease_until) WHERE state = 'leased';
