"""How all targets stand, each question answered for the whole fleet by one statement: what a screen of hundreds of targets is
made from. Says the same as the single questions of Releases and Rollouts, and changes nothing."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from quarterdeck.history.records import Drilled, Ended, Rollout, RolloutKind, RolloutState, Standing
from quarterdeck.history.releases import SETTLED_SQL, WHOLE_SQL
from quarterdeck.history.rollouts import ACTIVE_SQL, SELECT, Rollouts, to_rollout

ONE_BY_ONE = 40  # targets: asking for more of them singly costs more than reading all
ROLLBACKS = 5  # of a target, the newest: their median is how long the next one may take

_ENDED = (
    "o.id, o.target, o.kind, o.state, o.from_release, o.to_release, o.requested_by, o.reason, o.started, o.ended, o.outcome,"
    " o.ended_seq"
)
_CURRENT = "CASE o.state WHEN 'succeeded' THEN o.to_release ELSE o.from_release END"

# Each one goes through the targets, and from there by an index to the few rows that are meant. {one}: all targets, or a condition.
_NAMES = "SELECT t.name FROM target t {one}"
_SETTLED = (
    f"SELECT {_ENDED}, {_CURRENT}, e.version, e.body, e.last_good FROM target t JOIN rollout o ON o.id ="  # noqa: S608 - constants
    f" (SELECT id FROM rollout WHERE target = t.name AND {SETTLED_SQL} ORDER BY ended_seq DESC LIMIT 1)"
    f" LEFT JOIN release e ON e.id = {_CURRENT} {{one}}"
)
_LAST = (
    f"SELECT {_ENDED} FROM target t JOIN rollout o ON o.id = (SELECT id FROM rollout WHERE target = t.name"  # noqa: S608 - constants
    " AND ended_seq IS NOT NULL AND epoch > 0 ORDER BY ended_seq DESC LIMIT 1) {one}"
)
_GOOD = (
    "SELECT t.name, e.id, e.version, e.last_good_seq FROM target t JOIN release e ON e.number IN (SELECT number FROM release"
    " WHERE target = t.name AND verdict <> 'bad' AND last_good_seq IS NOT NULL ORDER BY last_good_seq DESC LIMIT 2) {one}"
)
_ROLLBACKS = (
    "SELECT t.name, o.started, o.ended FROM target t JOIN rollout o ON o.id IN (SELECT id FROM rollout"  # noqa: S608 - constants
    " WHERE target = t.name AND kind = 'rollback' AND state = 'succeeded' AND ended_seq IS NOT NULL"
    f" ORDER BY ended_seq DESC LIMIT {ROLLBACKS}) {{one}}"
)
_DRILLS = (
    "SELECT t.name, o.id, o.ended, (SELECT body FROM event WHERE rollout = o.id AND kind = 'drilled' ORDER BY seq DESC LIMIT 1)"
    " FROM target t JOIN rollout o ON o.id = (SELECT id FROM rollout WHERE target = t.name AND kind = 'drill'"
    " AND state = 'succeeded' AND ended_seq IS NOT NULL ORDER BY ended_seq DESC LIMIT 1) {one}"
)


class Standings(Rollouts):
    """Current release, way back, last and running rollout of every target."""

    def standings(self, targets: Collection[str] | None = None) -> dict[str, Standing]:
        """By target: of those that are named, else of all that the journal has heard of. One that it has not is left out."""
        if targets is None or len(targets) > ONE_BY_ONE:
            return self._standings(None)
        found: dict[str, Standing] = {}
        for name in targets:
            found |= self._standings(name)
        return found

    def _standings(self, target: str | None) -> dict[str, Standing]:
        settled = {row[1]: row for row in self._of(_SETTLED, target)}
        last = {row[1]: _ended(row) for row in self._of(_LAST, target)}
        drills = {row[0]: _drilled(*row[1:]) for row in self._of(_DRILLS, target)}
        active = self._active(target)
        took = self._took(target)
        good: dict[str, list[tuple[int, str, str]]] = {}
        for name, id, version, seq in self._of(_GOOD, target):
            good.setdefault(name, []).append((seq, id, version))
        standings = {}
        for (name,) in self._of(_NAMES, target):
            current = version = digest = good_at = brought = None
            if name in settled:
                *columns, current, version, body, good_at = settled[name]
                brought = self._brought(_ended(columns), current)
                digest = _artifact(body) if body else None
            moving = active.get(name)
            left = _left(current, moving)
            back = [(id, back) for _, id, back in sorted(good.get(name, ()), reverse=True) if id != left]
            if (first := _finished_first(current, moving, last.get(name))) is not None:
                row = self._row("SELECT version FROM release WHERE id = ?", (first,))
                back = [(first, row[0] if row is not None else first)]
            standings[name] = Standing(
                name,
                current,
                version,
                digest,
                since=brought.ended if brought else good_at,
                by=brought.requested_by if brought else None,
                reason=brought.reason if brought else "",
                back=back[0][0] if back else None,
                back_version=back[0][1] if back else None,
                back_seconds=took.get(name),
                last=last.get(name),
                active=moving,
                drill=drills.get(name),
            )
        return standings

    def _of(self, sql: str, target: str | None) -> list[tuple[Any, ...]]:
        if target is None:
            return self._rows(sql.format(one=""))
        return self._rows(sql.format(one="WHERE t.name = ?"), (target,))

    def drilled(self, target: str) -> Drilled | None:
        """The last drill of the target that went well."""
        return next((_drilled(*row[1:]) for row in self._of(_DRILLS, target)), None)

    def drill_begun(self, target: str) -> str | None:
        """When the last drill of the target that changed something began, whatever came of it (ISO 8601 UTC)."""
        row = self._row(
            "SELECT started FROM rollout WHERE target = ? AND kind = 'drill' AND epoch > 0 ORDER BY id DESC LIMIT 1",
            (target,),
        )
        return None if row is None else row[0]

    def _active(self, target: str | None) -> "dict[str, Any]":
        sql, values = (" AND r.target = ?", (target,)) if target is not None else ("", ())
        found = map(to_rollout, self._rows(f"{SELECT} WHERE r.{ACTIVE_SQL}{sql}", values))
        return {rollout.target: rollout for rollout in found}

    def _brought(self, settled: Ended, release: str | None) -> Ended | None:
        """The rollout since which the current release runs: not the one that was taken back, but the one before it."""
        if settled.state is RolloutState.SUCCEEDED:
            return settled
        row = self._row(
            f"SELECT {_ENDED} FROM rollout o WHERE o.target = ? AND o.to_release = ? AND o.state = 'succeeded'"  # noqa: S608 - constants
            " AND o.kind IN ('deploy', 'rollback') AND o.ended_seq IS NOT NULL"
            f" AND {WHOLE_SQL} ORDER BY o.ended_seq DESC LIMIT 1",
            (settled.target, release),
        )
        return None if row is None else _ended(row)

    def _took(self, target: str | None) -> dict[str, float]:
        """The median of the newest rollbacks that succeeded, in seconds."""
        every: dict[str, list[float]] = {}
        for name, started, ended in self._of(_ROLLBACKS, target):
            if started and ended:
                taken = datetime.fromisoformat(ended) - datetime.fromisoformat(started)
                every.setdefault(name, []).append(round(taken.total_seconds(), 3))
        return {name: sorted(seconds)[len(seconds) // 2] for name, seconds in every.items()}


def _left(current: str | None, moving: Rollout | None) -> str | None:
    """The release that a rollback would leave now: that of the deploy under way, so that the way leads back to what runs beside it."""
    if moving is None or moving.kind is not RolloutKind.DEPLOY or not moving.epoch:
        return current
    return moving.to_release or current


def _finished_first(current: str | None, moving: Rollout | None, last: Ended | None) -> str | None:
    """Where a rollback leads after one that failed half-way: to where that was going back to. None: nothing stands half-way."""
    if last is None or last.state is not RolloutState.FAILED or (moving is not None and moving.epoch):
        return None
    if last.kind is RolloutKind.ROLLBACK:
        return last.to_release
    forward = last.kind in (RolloutKind.DEPLOY, RolloutKind.DRILL)
    return current if forward and last.to_release != current else None


def _ended(row: "tuple[Any, ...] | list[Any]") -> Ended:
    return Ended(row[0], row[1], RolloutKind(row[2]), RolloutState(row[3]), *row[4:12])


def _drilled(id: int, ended: str, body: str | None) -> Drilled:
    told = json.loads(body) if body else {}
    return Drilled(id, ended, float(told.get("seconds", 0.0)), int(told.get("checked", 0)), int(told.get("failed", 0)))


def _artifact(body: str) -> str | None:
    """The artifact's SHA-256 of a release's JSON. Its keys are sorted: the artifact comes first, and the rest, which may be
    long, is not read."""
    if body.startswith('{"artifact":'):
        artifact, _ = json.JSONDecoder().raw_decode(body, len('{"artifact":'))
    else:
        artifact = json.loads(body).get("artifact", {})
    found = artifact.get("sha256")
    return str(found) if found is not None else None
