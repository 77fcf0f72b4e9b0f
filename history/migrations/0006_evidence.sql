-- What statistics count, without reading plans and options: one index holds all that they need of a rollout that began and has ended.

CREATE INDEX rollout_that_counts ON rollout (ended_seq, id, target, kind, state, from_release, to_release, started, ended)
    WHERE ended_seq IS NOT NULL AND started IS NOT NULL AND instr(options, '"partial":true') = 0;
