-- What observers see between two rollouts, and who has a control room open. None of it is evidence: no events, no chain.

CREATE TABLE sample (
    id INTEGER PRIMARY KEY, -- grows with time: the order in which they were written
    target TEXT NOT NULL, -- '' for what is measured of a whole host
    host TEXT NOT NULL,
    release TEXT, -- that ran there when it was measured
    metric TEXT NOT NULL,
    value REAL NOT NULL,
    time TEXT NOT NULL, -- for people
    boot_id TEXT NOT NULL,
    boottime INTEGER NOT NULL -- nanoseconds: what windows and pruning go by
);
CREATE INDEX sample_by_target ON sample (target, host, boottime);

CREATE TABLE presence (
    pid INTEGER NOT NULL, -- of the control room
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    who TEXT NOT NULL,
    uid INTEGER NOT NULL,
    view TEXT NOT NULL,
    target TEXT, -- that it has open
    since TEXT NOT NULL,
    heartbeat INTEGER NOT NULL, -- nanoseconds of boot time
    looked INTEGER NOT NULL DEFAULT 0, -- boot time when its observer, as the leading one, last wrote what hosts said
    asked INTEGER NOT NULL DEFAULT 0, -- boot time when its operator last wanted the hosts to be looked at now
    PRIMARY KEY (boot_id, pid, start_ticks)
) WITHOUT ROWID;
