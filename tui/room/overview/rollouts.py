"""Rollouts under way as trees (hosts, steps, how far), then those that ended last, in as many lines as there are. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from quarterdeck.history.records import ENDED, RolloutState, Step, StepState
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.rollout import MOVES, RolloutSeen
from quarterdeck.rollouts.picture.target import TargetSeen, progress_of
from quarterdeck.tui.cli.times import age, clock, duration, parse
from quarterdeck.tui.cli.waits import left_words, standing_words
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.overview.cells import in_trouble
from quarterdeck.tui.room.rows import Role, Row, Span, cells, ellipsis, pad
from quarterdeck.tui.room.traffic_rows import short_spans

_VERSION: Final = 20  # cells
_BAD: Final = (RolloutState.FAILED, RolloutState.ORPHANED)
_BACKWARDS: Final = (RolloutState.ABORTING, RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK)
_RECENT: Final = 2  # ended ones that are shown before the trees get more room


class Line(msgspec.Struct, frozen=True):
    """A row and the rollout that it belongs to."""

    rollout: int
    row: Row


def bar(done: int, total: int, width: int) -> str:
    """``[#####.....]`` in ``width`` columns; empty where there is no room for one."""
    inside = width - 2
    if inside < 3:
        return ""
    filled = inside * done // total if total else 0
    return f"[{'#' * filled}{'.' * (inside - filled)}]"


def role_of(state: RolloutState) -> Role:
    if state in _BAD:
        return Role.BAD
    if state in _BACKWARDS or state is RolloutState.PAUSED:
        return Role.WARN
    return Role.OK if state is RolloutState.SUCCEEDED else Role.DIM if state in ENDED else Role.MOVING


def rollout_lines(picture: Picture, width: int, height: int, now: datetime, find: Matcher = EVERYTHING) -> list[Line]:
    """As many as there is room for: each living one a line, then the newest ended ones, then the trees of the living."""
    passing = [seen for seen in picture.rollouts if find.matches(searched(seen))]
    moving = [seen for seen in passing if seen.rollout.state not in ENDED]
    living = sorted(moving, key=lambda seen: _rank(seen, picture))  # stable: the newest first among equals
    ended = [seen for seen in passing if seen.rollout.state in ENDED]
    room = max(height - len(living) - min(len(ended), _RECENT), 0)
    lines: list[Line] = []
    for at, seen in enumerate(living):
        target = picture.targets.get(seen.rollout.target)
        lines.append(Line(seen.id, living_row(seen, picture.production, width, now, target=target)))
        share = room // (len(living) - at) if room else 0
        tree = tree_rows(seen, target, width, share, now)
        lines += [Line(seen.id, row) for row in tree]
        room -= len(tree)
    for seen in ended:
        lines.append(Line(seen.id, ended_row(seen, width, now)))
    return lines


def searched(seen: RolloutSeen) -> str:
    """All that a filter looks at of a rollout, in every list of them."""
    rollout = seen.rollout
    state = str(rollout.state).replace("_", " ")
    what = f"#{rollout.id} {rollout.target} {rollout.kind} {seen.from_version} -> {seen.to_version}"
    return f"{what} {state} {rollout.requested_by} {rollout.outcome}"


def _rank(seen: RolloutSeen, picture: Picture) -> tuple[bool, bool]:
    """Those in trouble first, then those in production."""
    target = picture.targets.get(seen.rollout.target)
    return not (target is not None and in_trouble(target)), not seen.rollout.target.startswith(f"{picture.production}/")


def living_row(
    seen: RolloutSeen, production: str, width: int, now: datetime, *, target: TargetSeen | None = None
) -> Row:
    """``812 api @ PRODUCTION  rolling [#####...] 2/4  0:02:16 lena``. ``target``: as it was seen."""
    rollout = seen.rollout
    environment, _, service = rollout.target.partition("/")
    done, total = progress_of(seen, target)
    state = (
        str(rollout.state).replace("_", " ").upper() if rollout.state in _BAD else str(rollout.state).replace("_", " ")
    )
    begun = parse(rollout.started) if rollout.started else None
    took = duration(max((now - begun).total_seconds(), 0.0)) if begun is not None else ""
    count = f" {done}/{total}" if total else ""
    tail = f" {took:>6} {rollout.requested_by.split('@')[0]}"
    head = [
        Span(f" {rollout.id} ", Role.STRONG),
        Span(f"{service} @ "),
        Span(environment.upper(), Role.PRODUCTION if environment == production else Role.PLAIN),
        Span(f" {_short(seen.from_version) or 'nothing'} -> {_short(seen.to_version) or '?'}" if width >= 70 else ""),
        Span(f" {rollout.kind} " if rollout.kind != "deploy" else " ", Role.DIM),
        Span(state, role_of(rollout.state)),
    ]
    used = sum(cells(span.text) for span in head) + len(count) + len(tail) + 1
    drawn = bar(done, total, min(width - used - 1, 42)) if total else ""
    return tuple(
        span
        for span in (
            *head,
            Span(f" {drawn}" if drawn else "", role_of(rollout.state)),
            Span(count),
            Span(tail, Role.DIM),
        )
        if span.text
    )


def tree_rows(seen: RolloutSeen, target: TargetSeen | None, width: int, room: int, now: datetime) -> list[Row]:
    """Hosts and steps below a rollout, at most ``room`` lines: hosts that are alike share one."""
    if room <= 0:
        return []
    rows: list[Row] = []
    if stands := standing_words(seen.steps, seen.rollout.outcome, now):
        rows.append((Span(f" |  {ellipsis(stands, max(width - 4, 0))}", Role.WARN),))
    if target is not None and target.router is not None and not target.router.plain:
        rows.append((Span(" |  "), *short_spans(target.router, max(width - 4, 0), now, new=seen.rollout.to_release)))
    if seen.steps:
        rows.append(_steps_row(seen.steps, now))
    hosts = _host_rows(seen, target, width)
    if len(rows) + len(hosts) > room:
        left = max(room - len(rows), 0)
        hosts = _host_rows(seen, target, width, alike=True)[:left]
    return [*rows, *hosts][:room]


def _short(version: str | None) -> str:
    """A version may be a digest of 71 characters: the state has to fit beside it."""
    return ellipsis(version or "", _VERSION)


def _steps_row(steps: Sequence[Step], now: datetime) -> Row:
    """``steps  stage 4/4  switch 2/4 <  verify 0/4``: the kinds of steps in their order; ``<`` where it is now."""
    counts: dict[str, list[int]] = {}
    current, failed = "", set()
    for step in steps:
        done, total = counts.setdefault(step.action, [0, 0])
        counts[step.action] = [done + (step.state in (StepState.DONE, StepState.SKIPPED)), total + 1]
        if step.state is StepState.FAILED:
            failed.add(step.action)
        if step.state in (StepState.STARTED, StepState.FAILED) and not current:
            current = step.action
    spans = [Span(" |  steps ", Role.DIM)]
    for action, (done, total) in counts.items():
        role = Role.BAD if action in failed else Role.OK if done == total else Role.PLAIN
        left = next((f" {words}" for step in steps if step.action == action and (words := left_words(step, now))), "")
        spans.append(Span(f" {action} {done}/{total}{f' <{left}' if action == current else ''} ", role))
    return tuple(spans)


def _host_rows(seen: RolloutSeen, target: TargetSeen | None, width: int, *, alike: bool = False) -> list[Row]:
    known = {host.host: host for host in target.hosts} if target is not None else {}
    moves: dict[str, Step] = {step.host: step for step in seen.steps if step.action in MOVES}
    groups: list[tuple[list[str], str, str, Role]] = []
    for host, step in moves.items():
        done = step.state in (StepState.DONE, StepState.SKIPPED)
        version = (seen.to_version if done else seen.from_version) or "-"
        words, role = _step_words(step, known[host].health if host in known and done else "")
        if step.state is StepState.STARTED and host in known and (swarm := known[host].swarm) is not None:
            from quarterdeck.tui.room.swarm_rows import update_of  # only where there is one

            words = f"{update_of(swarm, seen.rollout.to_release, seen.to_version).words}  {words}"
        if alike and groups and groups[-1][1:] == (version, words, role):
            groups[-1][0].append(host)
        else:
            groups.append(([host], version, words, role))
    wide = min(max(width // 4, 12), 24)
    rows: list[Row] = []
    for hosts, version, words, role in groups:
        name = hosts[0] if len(hosts) == 1 else f"{hosts[0]} .. {hosts[-1]} x{len(hosts)}"
        rows.append(
            (
                Span(" +- ", Role.DIM),
                Span(f"{pad(name, wide)} "),
                Span(f"{pad(version, 10)} ", Role.NEW if version == seen.to_version else Role.OLD),
                Span(ellipsis(words, max(width - wide - 16, 8)), role),
            )
        )
    return rows


def _step_words(step: Step, health: str) -> tuple[str, Role]:
    match step.state:
        case StepState.PENDING:
            return "waits", Role.DIM
        case StepState.STARTED:
            return f"{step.action} .. {clock(step.started) if step.started else ''}".strip(), Role.MOVING
        case StepState.FAILED:
            return f"FAILED {step.outcome.get('error', '')}".strip(), Role.BAD
        case StepState.SKIPPED:
            return "skipped", Role.DIM
        case _:
            return ("unhealthy", Role.BAD) if health == "unhealthy" else ("ok", Role.OK)


def ended_row(seen: RolloutSeen, width: int, now: datetime) -> Row:
    """``810 web @ staging v88 ok 14:21Z ci``; one of another day with how long ago that was."""
    rollout = seen.rollout
    environment, _, service = rollout.target.partition("/")
    state = "ok" if rollout.state is RolloutState.SUCCEEDED else str(rollout.state).replace("_", " ")
    when = ""
    if rollout.ended:
        today = rollout.ended[:10] == now.strftime("%Y-%m-%d")
        when = f"{clock(rollout.ended)[:5]}Z" if today else f"{age(rollout.ended, now)} ago"
    what = "removed" if rollout.removes else _short(seen.to_version)
    text = f" {rollout.id} {service} @ {environment} {what} "
    why = f"  {rollout.outcome}" if rollout.outcome and rollout.state is not RolloutState.SUCCEEDED else ""
    tail = f" {when} {rollout.requested_by.split('@')[0]}"
    left = max(width - cells(text) - len(state) - cells(tail), 0)
    return Span(text), Span(state, role_of(rollout.state)), Span(tail, Role.DIM), Span(ellipsis(why, left), Role.DIM)
