"""A rollout as rows: state, progress, hosts, steps, wishes. For the card that has become live and for the rollout screen. Pure."""

import textwrap
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import Request, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.closely import Closely, HostMove
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.promoting import WAITS
from quarterdeck.tui.cli.following import outcome_text
from quarterdeck.tui.cli.routing_words import place_words, short_words
from quarterdeck.tui.cli.routing_words import step_words as routing_words
from quarterdeck.tui.cli.times import age, clock, duration, seconds_between
from quarterdeck.tui.cli.waits import left_words, wait_words
from quarterdeck.tui.room.rows import Role, Row, Span, cells, ellipsis, pad

if TYPE_CHECKING:
    from quarterdeck.rollouts.measured import MetricSeen
    from quarterdeck.tui.room.swarm_rows import Update

NO_UPDATES: Final[Mapping[str, "Update"]] = MappingProxyType({})
STATE_ROLES = {
    RolloutState.ARMED: Role.STALE,
    RolloutState.QUEUED: Role.STALE,
    RolloutState.RUNNING: Role.MOVING,
    RolloutState.BAKING: Role.MOVING,
    RolloutState.PAUSED: Role.WARN,
    RolloutState.ABORTING: Role.WARN,
    RolloutState.ROLLING_BACK: Role.WARN,
    RolloutState.ORPHANED: Role.BAD,
    RolloutState.SUCCEEDED: Role.OK,
    RolloutState.ROLLED_BACK: Role.WARN,
    RolloutState.FAILED: Role.BAD,
    RolloutState.CANCELLED: Role.DIM,
    RolloutState.SUPERSEDED: Role.WARN,
}
STEP_MARKS = {
    StepState.PENDING: (".", Role.DIM),
    StepState.STARTED: (">", Role.MOVING),
    StepState.DONE: ("=", Role.OK),
    StepState.FAILED: ("x", Role.BAD),
    StepState.SKIPPED: ("-", Role.WARN),
}


def one_line(text: object) -> str:
    """Foreign words on one line."""
    return " ".join(clean(str(text)).split())


def state_words(state: RolloutState) -> str:
    return str(state).replace("_", " ")


def progress_row(seen: Closely, width: int, *, swarms: "Mapping[str, Update]" = NO_UPDATES) -> Row:
    """``[#####.....] 2 of 5 hosts``: hosts whose move has ended well; those that were taken back again are not among them. Where none
    moves, that, and why. ``swarms``: of those that go on, by host; where nothing else moves, their tasks are counted."""
    moves = [host for host in seen.hosts if host.state is not None]
    if not moves:
        if seen.plan:
            words = "no host changes" if seen.ended or seen.steps else "no host has begun to change"
        else:
            words = "ended before there was a plan" if seen.ended else "no plan yet: the hosts are being looked at"
        return (Span(ellipsis(words, width), Role.DIM),)
    done = sum(host.state is StepState.DONE and not host.back for host in moves)
    failed = sum(host.state is StepState.FAILED for host in moves)
    back = sum(host.state is StepState.DONE and host.back for host in moves)
    words = f" {done} of {len(moves)} hosts"
    if seen.rollout.kind is RolloutKind.DRILL:
        done, back, words = back, 0, f" {back} of {len(moves)} hosts there and back"
    total = len(moves)
    if swarms and not seen.ended and all(host.host in swarms for host in moves):
        done = sum(swarms[host.host].done for host in moves)
        total = sum(swarms[host.host].total for host in moves)
        words = f" {done} of {total} tasks run {seen.to_version or '?'}"
    words += f", {failed} failed" if failed else ""
    words += f", {back} taken back" if back else ""
    room = max(min(width - len(words) - 2, 40), 4)
    full = round(room * done / total)
    role = Role.BAD if failed else Role.PLAIN if seen.ended else Role.MOVING
    return (
        Span("[" + "#" * full + "." * (room - full) + "]", role),
        Span(words, Role.BAD if failed else Role.PLAIN),
    )


def took(seen: Closely, now: datetime | None = None) -> str:
    """How long it has been at work, or was."""
    rollout = seen.rollout
    if rollout.started is None:
        return ""
    end = rollout.ended or (now or datetime.now(UTC)).isoformat()
    seconds = seconds_between(rollout.started, end)
    return duration(seconds) if seconds is not None else ""


def state_row(seen: Closely, width: int, now: datetime | None = None) -> Row:
    rollout = seen.rollout
    words = state_words(rollout.state)
    about = f"  {rollout.kind} {seen.from_version or 'nothing'} -> {seen.to_version or '?'}  {took(seen, now)}"
    return (Span(words, STATE_ROLES[rollout.state]), Span(ellipsis(about, max(width - len(words), 0))))


def host_rows(
    hosts: Iterable[HostMove], width: int, *, ended: bool, swarms: "Mapping[str, Update]" = NO_UPDATES
) -> list[Row]:
    """``= prod-1  v3 -> v2``; a host that failed says why. ``ended``: what is pending then never comes. ``swarms``: how far those that go
    on are, by host."""
    rows: list[Row] = []
    for host in hosts:
        mark, role = STEP_MARKS[host.state] if host.state is not None else ("?" if host.error else ".", Role.DIM)
        if host.error:
            role = Role.BAD
        never = host.state is None or (ended and host.state is StepState.PENDING)
        before, after = host.before or "nothing", host.after or "nothing"
        moves = f"{before}, not moved" if never else f"{before} -> {after}"
        word = "" if never else str(host.state)
        if host.back:
            word = f"taking back: {host.state}" if host.state is not StepState.DONE else "taken back"
        if host.state is StepState.STARTED and host.host in swarms:
            word = f"{swarms[host.host].words}, {word}"
        text = f" {pad(one_line(host.host), 12)} {pad(moves, 22)} {word}"
        if host.error:
            text += f" {one_line(host.error)}"
        rows.append((Span(mark, role), Span(ellipsis(text, max(width - 1, 0)), Role.PLAIN if not host.error else role)))
    return rows


def step_words(step: Step, now: datetime | None = None) -> str:
    if left := left_words(step, now):
        return left
    about = routing_words(step.action, step.body, done=step.state is StepState.DONE)
    outcome = one_line(outcome_text(step.outcome))
    if step.state is StepState.DONE and step.outcome.get("waits"):
        outcome = one_line(step.outcome["waits"])
    parts = (about, short_words(step.outcome), outcome)
    words = outcome if step.state is StepState.FAILED else "; ".join(part for part in parts if part)
    return f"{step.state}{f': {words}' if words else ''}"


def step_seconds(step: Step, now: datetime | None = None) -> str:
    if step.started is None:
        return ""
    if step.ended is None:
        return age(step.started, now)
    seconds = seconds_between(step.started, step.ended)
    return duration(seconds) if seconds is not None else ""


NARROWEST, WIDEST = 10, 14  # columns of what a step does; the wider where a wait needs it, and there is room
ROOMY = 64  # columns of the pane


def step_what(step: Step) -> str:
    """What a step does, in its column: ``switch``, ``until promoted``, ``pause 1m40s``."""
    what = str(step.action) + (" (undo)" if step.body.get("reverse") else "")
    if step.body.get("promote"):
        what = "until promoted"
    elif step.action == Action.FLAG:
        what = f"flag {float(step.body['percent']):g} %"
    elif step.action in WAITS and step.body.get("seconds"):
        what = wait_words(step.action, {"seconds": step.body["seconds"]})
    return what


def column_of(steps: Iterable[Step], width: int) -> int:
    """How wide what they do is shown, all alike."""
    if width < ROOMY:
        return NARROWEST
    return min(max([NARROWEST, *(cells(step_what(step)) for step in steps)]), WIDEST)


def step_row(
    step: Step, width: int, now: datetime | None = None, *, chosen: bool = False, column: int = NARROWEST
) -> Row:
    """``> 12 prod-1 switch  started 3s``."""
    mark, role = STEP_MARKS[step.state]
    where = pad(one_line(place_words(step.host, step.action)), 10)
    head = f" {step.seq:>3} {where} {pad(step_what(step), column)} {step_seconds(step, now):>6} "
    return (
        Span(">" if chosen else " ", Role.STRONG),
        Span(mark, role),
        Span(head, Role.STRONG if chosen else Role.PLAIN),
        Span(ellipsis(step_words(step, now), max(width - len(head) - 2, 0)), role),
    )


METRIC_MARKS = {
    "measuring": (">", Role.MOVING),
    "successful": ("=", Role.OK),
    "inconclusive": ("?", Role.WARN),
    "error": ("!", Role.WARN),
    "failed": ("x", Role.BAD),
    "stopped": (".", Role.DIM),
}
MOST_WHY = 4  # lines of what is said of a metric


def metric_rows(metrics: Iterable["MetricSeen"], width: int) -> list[Row]:
    """``= errors  12/30  new 0.4  old 0.3  why``: what an analysis has measured, the new release beside the one before. A ``why`` that is
    too long for the row stands below it: what the samples could have seen is its end."""
    rows: list[Row] = []
    for metric in metrics:
        mark, role = METRIC_MARKS[metric.state]
        count = f"{metric.measured}/{metric.count}" if metric.count is not None else str(metric.measured)
        numbers = f"new {metric.canary}" if metric.canary else ""
        numbers += f"  old {metric.baseline}" if metric.baseline else ""
        borne = f" {metric.failed} failed" if metric.failed else ""
        borne += f" {metric.errors} not measured" if metric.errors else ""
        dry = " (dry run)" if metric.dry_run else ""
        head = f" {pad(one_line(metric.name), 14)} {count:>6} {numbers}{borne}{dry}"
        why, said = one_line(metric.why), Role.DIM if metric.state in ("measuring", "stopped") else role
        first = (Span(mark, role), Span(ellipsis(head, max(width - 1, 0)), Role.PLAIN))
        if cells(head) + cells(why) + 3 <= width:
            rows.append((*first, Span(f"  {why}" if why else "", said)))
            continue
        room = max(width - 3, 20)
        pieces = textwrap.wrap(why, room)
        if len(pieces) > MOST_WHY:
            pieces = [*pieces[: MOST_WHY - 1], ellipsis(" ".join(pieces[MOST_WHY - 1 :]), room)]
        rows += [first, *((Span("   "), Span(piece, said)) for piece in pieces)]
    return rows


def request_row(request: Request, width: int) -> Row:
    """What was asked, by whom, and what became of it."""
    role = {"open": Role.MOVING, "done": Role.OK}.get(request.state, Role.WARN)
    became = {"open": "not answered yet", "done": ""}.get(request.state, "refused: ") + one_line(request.answer)
    at = f" at step {request.step}" if request.step is not None else ""
    head = f"{clock(request.time)} {request.kind}{at} by {one_line(request.by)}: "
    return (Span(head), Span(ellipsis(became, max(width - len(head), 0)), role))
