"""The worker: one process per rollout, detached, that carries a plan out and journals every step before and after.

It is started by ``rollouts.spawn``; nothing above this floor imports it.
"""
