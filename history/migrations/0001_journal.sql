-- The journal. Text columns named body, plan, options, arguments and outcome of a step hold JSON.
-- No STRICT tables and no RETURNING: SQLite from 3.24 on must be able to read and write this file.

CREATE TABLE target (
    name TEXT PRIMARY KEY,
    fence INTEGER NOT NULL DEFAULT 0 CHECK (fence >= 0) -- grows for ever
) WITHOUT ROWID;

CREATE TABLE release (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they were first seen
    id TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    verdict TEXT NOT NULL DEFAULT 'untried' CHECK (verdict IN ('untried', 'good', 'bad')),
    verdict_reason TEXT NOT NULL DEFAULT '',
    first_seen TEXT NOT NULL,
    last_good TEXT,
    last_good_seq INTEGER -- the event that made it good: times are for people, order is this
);
CREATE INDEX release_by_target ON release (target, number);

CREATE TABLE rollout (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL REFERENCES target (name),
    kind TEXT NOT NULL CHECK (kind IN ('deploy', 'rollback', 'restart', 'drill', 'flag')),
    from_release TEXT, -- no foreign keys: a host may run what this journal has never seen
    to_release TEXT,
    state TEXT NOT NULL CHECK (state IN ('armed', 'queued', 'running', 'paused', 'baking', 'aborting', 'rolling_back',
        'orphaned', 'succeeded', 'rolled_back', 'failed', 'cancelled', 'superseded')),
    resumed_state TEXT, -- of an orphaned one: what it was before
    epoch INTEGER NOT NULL DEFAULT 0,
    plan TEXT,
    plan_hash TEXT NOT NULL DEFAULT '',
    options TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    uid INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    ended_seq INTEGER, -- the event that ended it
    outcome TEXT NOT NULL DEFAULT '',
    nonce TEXT NOT NULL, -- makes its op_ids unique for ever, even when the journal is lost
    boot_id TEXT NOT NULL,
    created_boottime INTEGER NOT NULL -- nanoseconds
);
CREATE UNIQUE INDEX one_active_rollout ON rollout (target)
    WHERE state NOT IN ('armed', 'succeeded', 'rolled_back', 'failed', 'cancelled', 'superseded');
CREATE INDEX living_rollout ON rollout (id)
    WHERE state NOT IN ('succeeded', 'rolled_back', 'failed', 'cancelled', 'superseded');
CREATE INDEX rollout_by_target ON rollout (target, id);
CREATE INDEX rollout_by_end ON rollout (target, ended_seq) WHERE ended_seq IS NOT NULL;

CREATE TABLE step (
    rollout INTEGER NOT NULL REFERENCES rollout (id),
    seq INTEGER NOT NULL,
    host TEXT NOT NULL,
    action TEXT NOT NULL,
    batch INTEGER NOT NULL,
    body TEXT NOT NULL,
    op_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'started', 'done', 'failed', 'skipped')),
    attempt INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL,
    outcome TEXT NOT NULL DEFAULT '{}',
    started TEXT,
    ended TEXT,
    PRIMARY KEY (rollout, seq)
) WITHOUT ROWID;

CREATE TABLE request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rollout INTEGER NOT NULL REFERENCES rollout (id),
    step INTEGER,
    kind TEXT NOT NULL,
    by TEXT NOT NULL,
    uid INTEGER NOT NULL,
    time TEXT NOT NULL,
    arguments TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'refused')),
    answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX open_request ON request (rollout, id) WHERE state = 'open';

CREATE TABLE worker (
    rollout INTEGER PRIMARY KEY REFERENCES rollout (id),
    pid INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    heartbeat INTEGER NOT NULL -- nanoseconds of boot time
);

CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    uid INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT,
    rollout INTEGER,
    host TEXT,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX event_by_target ON event (target, seq) WHERE target IS NOT NULL;
CREATE INDEX event_by_rollout ON event (rollout, seq) WHERE rollout IS NOT NULL;
CREATE INDEX event_by_kind ON event (kind, seq);

CREATE TABLE observation (
    target TEXT NOT NULL,
    host TEXT NOT NULL,
    time TEXT NOT NULL,
    release TEXT,
    version TEXT,
    health TEXT NOT NULL CHECK (health IN ('healthy', 'unhealthy', 'unknown')),
    error TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (target, host)
) WITHOUT ROWID;

CREATE TABLE debt (
    target TEXT NOT NULL,
    host TEXT NOT NULL,
    release TEXT,
    rollout INTEGER NOT NULL,
    since TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (target, host)
) WITHOUT ROWID;
