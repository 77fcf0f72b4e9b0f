-- Which hooks of a release have run on a target: asked by each rollback, which has no time to read every step.

CREATE INDEX hook_step ON step (rollout, seq) WHERE action = 'hook';
