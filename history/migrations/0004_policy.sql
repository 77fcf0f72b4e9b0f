-- Who agreed to which plan, and who froze an environment. What is decided by them is an event as well, in the chain.

CREATE TABLE approval (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rollout INTEGER NOT NULL REFERENCES rollout (id),
    plan_hash TEXT NOT NULL, -- of the plan that was agreed to: another plan needs other words
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected')),
    person TEXT NOT NULL, -- the login behind sudo, where there is one
    by TEXT NOT NULL,
    uid INTEGER NOT NULL,
    time TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (rollout, plan_hash, uid, verdict)
);

CREATE TABLE freeze (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    environment TEXT NOT NULL,
    until TEXT, -- NULL: until somebody ends it
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    uid INTEGER NOT NULL,
    since TEXT NOT NULL,
    ended TEXT, -- NULL: it holds until its time is over
    ended_by TEXT
);
CREATE INDEX freeze_that_holds ON freeze (environment) WHERE ended IS NULL;
