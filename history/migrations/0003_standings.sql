-- The way back of every target, and how long going back took, without reading all its releases and rollouts.

CREATE INDEX release_by_good ON release (target, last_good_seq) WHERE last_good_seq IS NOT NULL;
CREATE INDEX rollback_by_end ON rollout (target, ended_seq) WHERE kind = 'rollback' AND state = 'succeeded';
