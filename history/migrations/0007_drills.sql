-- When the way back of every target was last practised, without reading all its rollouts.

CREATE INDEX drill_by_end ON rollout (target, ended_seq) WHERE kind = 'drill' AND state = 'succeeded';
CREATE INDEX drill_begun ON rollout (target, id) WHERE kind = 'drill' AND epoch > 0;
