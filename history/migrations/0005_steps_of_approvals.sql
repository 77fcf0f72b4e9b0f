-- A word may be about a step of a plan that stands still there, and then counts for that step alone.

CREATE TABLE word (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rollout INTEGER NOT NULL REFERENCES rollout (id),
    plan_hash TEXT NOT NULL, -- of the plan that was agreed to: another plan needs other words
    step INTEGER NOT NULL DEFAULT 0, -- 0: about the whole plan, before it begins
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected')),
    person TEXT NOT NULL, -- the login behind sudo, where there is one
    by TEXT NOT NULL,
    uid INTEGER NOT NULL,
    time TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (rollout, plan_hash, step, uid, verdict)
);
INSERT INTO word (id, rollout, plan_hash, verdict, person, by, uid, time, reason)
    SELECT id, rollout, plan_hash, verdict, person, by, uid, time, reason FROM approval ORDER BY id;
DROP TABLE approval;
ALTER TABLE word RENAME TO approval;
