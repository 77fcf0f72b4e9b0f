"""A target in a few characters: mark, version, a word where it is not simply good, how the way back stands. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import Mark, TargetSeen, progress_of
from quarterdeck.rollouts.promoting import stands_at
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.rows import Role, Span, cells, ellipsis

_GONE: Final = "GONE"
_SHORT: Final = {_GONE: "!!", "back?": "!"}  # where there is no room for the word
STALE_AFTER: Final = 300.0  # seconds: what was seen longer ago is not called good any more

ROLES: Final = {
    Mark.OK: Role.OK,
    Mark.ROLLING: Role.MOVING,
    Mark.FAILED: Role.BAD,
    Mark.DRIFT: Role.DRIFT,
    Mark.STALE: Role.STALE,
    Mark.FROZEN: Role.FROZEN,
    Mark.NOTHING: Role.DIM,
}


def too_old(now: datetime) -> str:
    """The time before which something must have been seen to be stale, to be compared with the times of a picture as text."""
    return (now.astimezone(UTC) - timedelta(seconds=STALE_AFTER)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def mark_now(seen: TargetSeen, old: str) -> Mark:
    """The target's mark; nothing is good that nobody has looked at for long. ``old``: see ``too_old``."""
    mark = seen.mark
    if mark is Mark.OK and (oldest := seen.oldest) is not None and oldest < old:
        return Mark.STALE
    return mark


def ill(seen: TargetSeen) -> list[str]:
    if not any(kind.health == "unhealthy" for kind, _ in counted(seen.hosts)):
        return []
    return [host.host for host in seen.hosts if host.health == "unhealthy"]


def ill_words(seen: TargetSeen, bad: Sequence[str]) -> str:
    """``2 of 4 hosts unhealthy: web-1 web-2``; of a Swarm what its check says, which tells of its tasks."""
    if not seen.on_swarm:
        return f"{len(bad)} of {len(seen.hosts)} hosts unhealthy: {' '.join(bad)}"
    return "; ".join(f"{host.host}: {host.detail or 'unhealthy'}" for host in seen.hosts if host.host in bad)


def in_trouble(seen: TargetSeen) -> bool:
    """Failed, or on the way and a host is ill already, or one step has failed and it stands still there."""
    return seen.mark is Mark.FAILED or (seen.moving is not None and (bool(ill(seen)) or stands_still(seen.moving)))


def stands_still(moving: RolloutSeen) -> bool:
    """Whether a step of it failed and it asks how to go on."""
    return moving.rollout.state is RolloutState.PAUSED and stands_at(moving.steps) is not None


def back_words(seen: TargetSeen) -> tuple[str, Role]:
    """The way back: ``v142 ok``, ``v8 GONE`` (on no host), ``v8 3/4`` (on so many), ``v8 ?`` (not known), ``v8 owed``, ``none``."""
    back = seen.back
    if seen.release is None:
        return "-", Role.DIM
    if back.release is None:
        # Where a release could not be taken back everywhere, a rollback brings the rest of the hosts back to what the target runs.
        return (f"{seen.version} owed" if seen.owed else "none"), Role.WARN
    version = back.version or ""
    if back.state == "ready":
        return f"{version} ok", Role.OK
    missing = sum(
        count for kind, count in counted(seen.hosts) if kind.kept is not None and back.release not in kind.kept
    )
    if missing and missing == len(seen.hosts):
        return f"{version} GONE", Role.BAD
    if missing:
        return f"{version} {len(seen.hosts) - missing}/{len(seen.hosts)}", Role.WARN
    return (f"{version} owed" if seen.owed else f"{version} ?"), Role.WARN


def back_mark(seen: TargetSeen) -> str:
    """In a cell: nothing where the way back is open, else a word for it."""
    if seen.release is None or seen.moving is not None or seen.back.state == "ready":
        return ""
    if seen.back.release is None:
        return ""  # the first release: there is nothing to go back to, and nothing is wrong
    return _GONE if back_words(seen)[0].endswith(_GONE) else "back?"


def cell_words(seen: TargetSeen, now: datetime, old: str) -> tuple[str, str]:
    """``=v143``, and what is said beside it: ``2/4``, ``failed``, ``stale 7m``, of a Swarm's tasks ``5/6 drift``."""
    mark = mark_now(seen, old)
    version = seen.version or ""
    extra = ""
    if seen.moving is not None:
        done, total = progress_of(seen.moving, seen)
        version = seen.moving.to_version or version
        state = "" if seen.word in ("running", "queued") else seen.word
        extra = f"{done}/{total} {state}".strip() if total else seen.word
    elif mark is Mark.STALE:
        since = seen.oldest
        extra = f"{'old' if seen.mark is Mark.OK else seen.word} {age(since, now)}" if since else seen.word
    elif mark in (Mark.FAILED, Mark.DRIFT):
        extra = seen.word
        if seen.on_swarm and (counts := seen.counted)[0] < counts[1]:
            extra = f"{counts[0]}/{counts[1]} {extra}"
    return f"{mark}{version}", extra


def _joined(words: str, more: str, room: int, *, cut: bool = True) -> str:
    """``more`` behind ``words``; where there is no room for it shorter: ``stale7m``, ``7m``, ``0/1``, cut, or not at all."""
    if not more:
        return words
    first, _, last = more.partition(" ")
    shorter = (more.replace(" ", ""), last) if more[0].isalpha() else (first,)
    for short in (more, *shorter):
        if short and cells(words) + 1 + cells(short) <= room:
            return f"{words} {short}"
    left = room - cells(words) - 1
    return f"{words} {ellipsis(more, left)}" if cut and left >= 4 and not last else words


def cell(
    seen: TargetSeen | None,
    width: int,
    now: datetime,
    old: str,
    *,
    chosen: bool,
    others: Sequence[str] = (),
    back: bool = True,
) -> list[Span]:
    """The cell in exactly ``width`` columns, brackets of the chosen one included. ``others``: who else has it open; ``back``:
    whether the way back is told here."""
    if seen is None:
        return [Span(f"{'[]' if chosen else ''}".ljust(width), Role.CURSOR if chosen else Role.DIM)]
    head, extra = cell_words(seen, now, old)
    room = width - 2 if chosen else width - 1
    tail = back_mark(seen) if back else ""
    if tail and cells(head) + cells(extra) + len(tail) + 2 > room:
        tail = _SHORT[tail]
    if tail and cells(head) + 1 + len(tail) > room:
        tail = ""
    left = room - (len(tail) + 1 if tail else 0)
    words = _joined(head, extra, left)
    if others:
        words = _joined(words, f"@{others[0].partition('@')[0] if len(others) == 1 else len(others)}", left, cut=False)
    words = ellipsis(words, left)
    role = ROLES[mark_now(seen, old)]
    spans: list[Span] = []
    if chosen:
        spans.append(Span(f"[{words}{f' {tail}' if tail else ''}]", Role.CURSOR))
    else:
        spans.append(Span(f" {words}", role))
        if tail:
            spans.append(Span(f" {tail}", Role.BAD if tail in (_GONE, _SHORT[_GONE]) else Role.WARN))
    left = width - sum(cells(span.text) for span in spans)
    return [*spans, Span(" " * left)] if left > 0 else spans


def health_words(seen: TargetSeen | None, now: datetime, old: str) -> tuple[str, Role]:
    """``ok``, ``3/4 ok !``, ``3/4 run !``, ``down !``, ``stale 7m``."""
    if seen is None or (seen.release is None and seen.moving is None):
        return "-", Role.DIM
    bad = ill(seen)
    if bad and seen.on_swarm:
        (running, total), well = seen.counted, seen.well
        if 0 < well < running:
            return f"{well}/{total} ok !", Role.BAD
        return (f"{running}/{total} run !" if well > 0 and running < total else "down !"), Role.BAD
    if bad:
        return (f"{seen.healthy}/{len(seen.hosts)} ok !" if seen.healthy else "down !"), Role.BAD
    if seen.on_swarm and seen.moving is not None and seen.health == "unknown":
        running, total = seen.counted  # an update of it is checked by its worker, part after part
        return f"{running}/{total} run", Role.MOVING
    if mark_now(seen, old) is Mark.STALE or seen.health == "unknown":
        since = seen.oldest
        return (f"stale {age(since, now)}" if since else "unknown"), Role.STALE
    return ("ok", Role.OK) if seen.health == "healthy" else (seen.health, Role.WARN)


def hosts_words(seen: TargetSeen | None) -> tuple[str, Role]:
    """``4``: all run the release; ``3/4``. Of a Swarm its tasks."""
    if seen is None:
        return "-", Role.DIM
    running, total = seen.counted
    if running == total or seen.release is None:
        return str(total), Role.PLAIN
    return f"{running}/{total}", Role.MOVING if seen.moving is not None else Role.WARN
