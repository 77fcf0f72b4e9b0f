"""What evidence is made from: rollouts as statistics count them, and the events of a time. Reads only."""

import re
from collections.abc import Collection
from typing import Final

from quarterdeck.history.presences import Presences
from quarterdeck.history.records import Change, RolloutKind, RolloutState
from quarterdeck.history.releases import WHOLE_SQL

# The conditions are those of the index rollout_that_counts, word for word: it holds all of these columns.
_SELECT = (
    "SELECT id, target, kind, state, from_release, to_release, started, ended, ended_seq FROM rollout"  # noqa: S608 - constants
    f" WHERE ended_seq IS NOT NULL AND started IS NOT NULL AND {WHOLE_SQL}"
)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
FEW = 20  # targets: of more of them it is quicker to read all


class Evidence(Presences):
    """What was changed, and when."""

    def changes(self, targets: Collection[str] | None = None, *, after: int = 0) -> list[Change]:
        """What began and has ended (after the event ``after``), of whole targets, in the order in which it ended; of these targets, or of
        all. Drills and flags are among them: ``kind`` says so."""
        few = targets is not None and len(targets) <= FEW
        sql, values = f"{_SELECT} AND ended_seq > ?", list[int | str]([after])
        if few:
            # The unary plus keeps SQLite from reading whole rows by the target's own index.
            values += targets or ()
            sql += f" AND +target IN ({', '.join('?' * len(targets or ()))})"
        found = [
            Change(id, target, RolloutKind(kind), RolloutState(state), *rest)
            for id, target, kind, state, *rest in self._rows(f"{sql} ORDER BY ended_seq", values)
        ]
        return found if targets is None or few else [one for one in found if one.target in targets]

    def release_commits(self) -> list[tuple[str, str, str]]:
        """Of every release whose commit is known: its id, its target and the commit. What is cut out of the stored JSON looks like one, or
        is left out."""
        cut = 'substr(body, instr(body, \'"commit":"\') + 10, 64)'
        found = self._rows(f'SELECT id, target, {cut} FROM release WHERE instr(body, \'"commit":"\') > 0')  # noqa: S608 - constants
        return [(id, target, sha) for id, target, text in found if _COMMIT.fullmatch(sha := text.partition('"')[0])]

    def seq_at(self, time: str) -> int:
        """The number of the first event that is not before ``time`` (as the journal writes it); after a clock that jumped, one of them.
        One above the last where all are before."""
        low, high = 1, self.head()[0] + 1
        while low < high:
            middle = (low + high) // 2
            row = self._row("SELECT time FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
            if row is not None and row[0] < time:
                low = middle + 1
            else:
                high = middle
        return low
