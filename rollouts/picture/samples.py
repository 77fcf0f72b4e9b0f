"""Reads the samples that a screen shows, little by little: only what was written since the last time. Asks no host."""

import time
from collections import deque

from quarterdeck.history.clock import boottime
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Sample
from quarterdeck.history.samples import SECOND
from quarterdeck.rollouts.health import LATELY, WINDOW, Measures, all_probes, target_health
from quarterdeck.rollouts.picture.fleet import Picture

AT_MOST = 1.0  # seconds between two readings
AGES = 4.0  # seconds more, after which figures are made anew although nothing was written
OVERLAP = 60.0  # seconds: an observer writes samples some seconds after they were measured


class SampleReading:
    """For one follower of a journal. ``target``: whose figures are wanted; ``everything``: whether those of all are, roughly."""

    def __init__(self) -> None:
        self.target: str | None = None
        self.everything = False
        self._version = -1  # of the journal, when it was last read
        self._again = 0.0
        self._of: str | None = None
        self._samples: deque[Sample] = deque()
        self._hosts: tuple[str, ...] = ()

    def take_when_due(
        self, target: str | None, everything: bool, picture: Picture, journal: Journal, version: int
    ) -> Measures | None:
        """At once when something else is wanted than before; else at most once a second, and only when the journal (``version``)
        changed; now and then all the same, since figures grow old."""
        now = time.monotonic()
        changed = (target, everything) != (self.target, self.everything)
        if not changed and (now < self._again or (version == self._version and now < self._again + AGES)):
            return None
        self.target, self.everything = target, everything
        self._version, self._again = version, now + AT_MOST
        if not changed and target is None and not everything:
            return None
        return self.take(picture, journal)

    def take(self, picture: Picture, journal: Journal) -> Measures:
        """The figures as they are now."""
        seen = picture.targets.get(self.target or "")
        chosen = None
        if seen is not None:
            self._read(seen.target, tuple(host.host for host in seen.hosts), journal)
            chosen = target_health(seen, self._samples, boottime())
        return Measures(chosen, all_probes(journal.probes(LATELY)) if self.everything else {})

    def _read(self, target: str, hosts: tuple[str, ...], journal: Journal) -> None:
        if (target, hosts) != (self._of, self._hosts):
            self._of, self._hosts = target, hosts
            self._samples.clear()
        last = self._samples[-1].id if self._samples else 0
        self._samples.extend(journal.samples(target, hosts, OVERLAP if last else WINDOW, after=last))
        oldest = boottime() - int(WINDOW * SECOND)
        while self._samples and self._samples[0].boottime < oldest:
            self._samples.popleft()
