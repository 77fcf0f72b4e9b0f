"""Waiting for a rollout: until it is in some state, or event by event until it ends. Asks the journal alone, and asks it little."""

import time
from collections.abc import Collection, Iterator

from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held, orphans
from quarterdeck.history.records import ENDED, Event, Rollout, RolloutState


def await_state(journal: Journal, rollout: int, states: Collection[RolloutState], timeout: float) -> Rollout | None:
    """The rollout once it is in one of ``states``, or None after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    version = -1
    while True:
        now_version = journal.data_version()
        if now_version != version:
            version = now_version
            if journal.state_of(rollout) in states and (now := journal.rollout(rollout)).state in states:
                return now
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)


def follow(journal: Journal, rollout: int, after: int = 0, timeout: float | None = None) -> Iterator[Event]:
    """The rollout's events as they are journalled, until it has ended, ``timeout`` seconds are over, or its
    worker is dead."""
    deadline = None if timeout is None else time.monotonic() + timeout
    looked = time.monotonic()
    version = -1
    while True:
        now_version = journal.data_version()
        if now_version != version:
            version = now_version
            ended = journal.state_of(rollout) in ENDED
            while events := journal.events(after, rollout=rollout, limit=500):
                after = events[-1].seq
                yield from events
            if ended:
                return
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return
        if now - looked > 1.0:
            looked = now
            if not lock_is_held(journal.path.parent, rollout) and _died(journal, rollout):
                return
        time.sleep(0.01)


def _died(journal: Journal, rollout: int) -> bool:
    now = journal.rollout(rollout)
    return now.state not in ENDED and (now.pid is not None or any(r.id == rollout for r in orphans(journal)))
