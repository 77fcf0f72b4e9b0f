"""``qd rollouts``, ``show`` and ``watch``: rollouts as the journal knows them. Nothing here changes a host."""

import argparse
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.following import STATE_STYLES, ended_sentence, follow, outcome_text, positive_seconds
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.routing_words import place_words, short_words, step_words
from quarterdeck.tui.cli.times import clock, day_and_clock, duration, seconds_between
from quarterdeck.tui.cli.waits import left_words

if TYPE_CHECKING:
    from quarterdeck.history.records import Approval, Event, Request, Rollout, Step
    from quarterdeck.rollouts.in_line import Queued
    from quarterdeck.tui.cli.session import Session


def declare_rollouts(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "rollouts",
        run=run_rollouts,
        description="Lists rollouts, newest first: what was asked for, by whom, and how it ended.",
        example="qd rollouts production/api --limit 5\nqd rollouts --active --json",
    )
    completion.add_target_or_environment(parser, "target")
    parser.add_argument("--active", action="store_true", help="only what is under way")
    add_limit(parser, 20)


def declare_show(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "show",
        run=run_show,
        description="One rollout, whole: every step on every host, what operators asked for and what came of it, why.",
        example="qd show 128\nqd show production/api --json",
    )
    _add_id(parser)


def declare_watch(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "watch",
        run=run_watch,
        description=(
            "Follows a rollout live, a plain line for each step: time (UTC), host, step, outcome. It ends with the\n"
            "rollout, and with the exit status that `qd deploy --wait` would have had. With --json: one object a line."
        ),
        example="qd watch 128\nqd watch production/api --json | jq -r .kind",
    )
    _add_id(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=positive_seconds, help="follow no longer than this: exit status 7"
    )


def _add_id(parser: argparse.ArgumentParser) -> None:
    completion.completes(
        parser.add_argument(
            "rollout",
            metavar="ID",
            help="the rollout's number, or a target: the one that is under way there, or the last",
        ),
        completion.rollouts,
    )


def add_limit(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "--limit", metavar="N", type=positive_count, default=default, help=f"at most so many (default {default})"
    )


def positive_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def rollout_to_read(session: "Session", word: str) -> "Rollout":
    """By number, or the target's active one, or its newest."""
    if word.isascii() and word.isdigit():
        return session.journal.rollout(int(word))
    target = session.target(word)
    found = session.journal.active(target.name)
    newest = session.journal.rollouts(target.name, limit=1)
    if found is None and not newest:
        raise UsageError(f"there has been no rollout of {target.name}")
    return found or newest[0]


def as_value(rollout: "Rollout") -> dict[str, Any]:
    """A rollout as JSON, in the words of the design."""
    return {
        "rollout": rollout.id,
        "kind": str(rollout.kind),
        "target": rollout.target,
        "from": rollout.from_release,
        "to": rollout.to_release,
        "status": str(rollout.state),
        "by": rollout.requested_by,
        "asked_because": rollout.reason,
        "created": rollout.created,
        "started": rollout.started,
        "ended": rollout.ended,
        "seconds": seconds_between(rollout.started, rollout.ended),
        "reason": rollout.outcome,
    }


def event_value(event: "Event") -> dict[str, Any]:
    return {
        "seq": event.seq,
        "time": event.time,
        "kind": event.kind,
        "target": event.target,
        "rollout": event.rollout,
        "host": event.host,
        "by": event.who,
        "body": event.body,
    }


def run_rollouts(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.history.records import RolloutState
    from quarterdeck.rollouts.approving import waiting_for
    from quarterdeck.rollouts.in_line import queued
    from quarterdeck.rollouts.promoting import is_held
    from quarterdeck.tui.cli.approving import waiting_value

    session.tend()
    journal = session.journal
    if arguments.target is None:
        found = journal.rollouts(limit=arguments.limit, active_only=arguments.active)
    else:
        found = [
            rollout
            for target in session.targets(arguments.target)
            for rollout in journal.rollouts(target, limit=arguments.limit, active_only=arguments.active)
        ]
        found = sorted(found, key=lambda rollout: rollout.id, reverse=True)[: arguments.limit]
    waits = {rollout.id: waiting_for(journal, rollout) for rollout in found}
    queues = {rollout.id: queued(journal, rollout) for rollout in found}
    values = [
        as_value(rollout) | {"approvals": waiting_value(waits[rollout.id]), "queue": _queue_value(queues[rollout.id])}
        for rollout in found
    ]
    session.printer.document({"fleet": session.fleet.name, "rollouts": values})
    if not found:
        session.printer.line("no rollouts under way" if arguments.active else "no rollouts yet")
        return Exit.DONE
    session.printer.table(
        ("ID", "KIND", "TARGET", "TO", "STATE", "CREATED", "BY"),
        [
            (
                str(rollout.id),
                str(rollout.kind),
                rollout.target,
                "removed" if rollout.removes else _version(session, rollout.to_release),
                str(rollout.state).replace("_", " "),
                day_and_clock(rollout.created)[5:16],
                rollout.requested_by,
            )
            for rollout in found
        ],
        [STATE_STYLES.get(str(rollout.state), "") for rollout in found],
    )
    for id, waiting in waits.items():
        if waiting is not None:
            session.printer.line(f"{id} {waiting.words}; qd approve {id}, or qd reject {id}", "warn")
    for id, queue in queues.items():
        if queue is not None:
            session.printer.line(f"{id} {queue.words}", "warn")
    for rollout in found:
        if rollout.state in (RolloutState.PAUSED, RolloutState.ORPHANED) and waits[rollout.id] is None:
            ways = f"; qd resume {rollout.id}, or qd abort {rollout.id}" if is_held(rollout) else ""
            session.printer.line(f"{rollout.id} {rollout.outcome}{ways}", STATE_STYLES[rollout.state])
    return Exit.DONE


def _version(session: "Session", release: str | None) -> str:
    row = session.journal.release(release) if release else None
    return row.release.version if row else release or "-"


def _build_words(build: Mapping[str, Any]) -> str:
    """``812 by maya, commit 3f2a9c01, https://…``"""
    by = f" by {build['author']}" if build.get("author") else ""
    commit = f"commit {build['commit'][:8]}" if build.get("commit") else ""
    told = (f"{build.get('number')}{by}", commit, str(build.get("link") or ""))
    return ", ".join(" ".join(word.split()) for word in told if word)


def run_show(session: "Session", arguments: argparse.Namespace) -> int:
    import msgspec

    from quarterdeck.history.errors import RequestRefused
    from quarterdeck.rollouts.approvals import SHOWN_HASH
    from quarterdeck.rollouts.approving import waiting_for
    from quarterdeck.rollouts.in_line import queued
    from quarterdeck.rollouts.picture.metrics import metrics_seen
    from quarterdeck.rollouts.plans.flags import switched_off
    from quarterdeck.rollouts.policy import set_aside
    from quarterdeck.tui.cli.approving import waiting_value
    from quarterdeck.tui.cli.waits import flag_off_words

    session.tend()
    rollout = rollout_to_read(session, arguments.rollout)
    journal = session.journal
    steps = journal.steps(rollout.id)
    waiting, words = waiting_for(journal, rollout), journal.approvals(rollout.id)
    queue = queued(journal, rollout)
    events = [event for event in journal.every_event(rollout.id) if not event.kind.startswith("step.")]
    metrics, off = metrics_seen(journal, rollout, steps), switched_off(journal, rollout, steps)
    requested = [event.body.get("request") for event in events if event.kind == "request"]
    asked: list[Request] = []
    for number in requested:
        with contextlib.suppress(RequestRefused):  # an event of another version's may tell of one that is not here
            asked += [journal.request(number)] if isinstance(number, int) else []
    session.printer.document(
        as_value(rollout)
        | {
            "epoch": rollout.epoch,
            "plan_hash": rollout.plan_hash,
            "plan": rollout.plan,
            "build": rollout.options.get("build"),
            "approvals": waiting_value(waiting),
            "queue": _queue_value(queue),
            "words": [approval_value(word) for word in words],
            "steps": [step_value(step) for step in steps],
            "metrics": [msgspec.to_builtins(metric) for metric in metrics],
            "requests": [_request_value(request) for request in asked],
            "events": [event_value(event) for event in events],
        }
    )
    if session.printer.json:
        return Exit.DONE
    line = session.printer.line
    line(f"rollout {rollout.id}  {rollout.kind} of {rollout.target}", "bold")
    line(f"  state    {str(rollout.state).replace('_', ' ')}", STATE_STYLES.get(str(rollout.state), ""))
    line(f"  from     {rollout.from_release or 'nothing'}")
    line(f"  to       {rollout.to_release or rollout.options.get('version') or 'nothing'}")
    line(f"  by       {rollout.requested_by}" + (f", because: {rollout.reason}" if rollout.reason else ""))
    if build := rollout.options.get("build"):
        line(f"  build    {_build_words(build)}")
    took = seconds_between(rollout.started, rollout.ended)
    line(
        f"  created  {day_and_clock(rollout.created)}"
        + (f", began {clock(rollout.started)}" if rollout.started else ", did not begin")
        + (f", ended {clock(rollout.ended)}" if rollout.ended else "")
        + (f", took {duration(took)}" if took is not None else "")
    )
    if waiting is not None:
        line(f"  waits    {waiting.words.removeprefix('waits ')}; plan {rollout.plan_hash[:SHOWN_HASH]}", "warn")
    elif queue is not None:
        line(f"  waits    {queue.words.removeprefix('waits ')}", "warn")
    elif rollout.outcome:
        line(f"  why      {rollout.outcome}")
    if off is not None:
        line(f"  !        {flag_off_words(off)}", "warn")
    for aside in set_aside(rollout, events):
        line(f"  aside    {aside}", "warn")
    for warning in (rollout.plan or {}).get("warnings") or ():
        line(f"  !        {warning}", "warn")
    if steps:
        line()
        session.printer.table(
            ("STEP", "WAVE", "HOST", "ACTION", "STATE", "TIME", "OUTCOME"),
            [
                (
                    str(step.seq),
                    str(step.batch),
                    place_words(step.host, step.action),
                    step.action,
                    str(step.state) + (f" x{step.attempt}" if step.attempt > 1 else ""),
                    clock(step.ended or step.started or ""),
                    _came(step),
                )
                for step in steps
            ],
            [{"done": "", "failed": "bad", "started": "moving"}.get(str(step.state), "dim") for step in steps],
        )
    for metric in metrics:
        count = f" of {metric.count}" if metric.count is not None else ""
        numbers = " beside ".join(side for side in (metric.canary, metric.baseline) if side)
        dry = ", dry run" if metric.dry_run else ""
        line(f"  {metric.name}: {metric.state}{dry}, {metric.measured}{count} measured: {metric.why or numbers}")
    for word in words:
        about = "" if word.plan_hash == rollout.plan_hash else f" (about plan {word.plan_hash[:SHOWN_HASH]})"
        because = f", because: {word.reason}" if word.reason else ""
        at = f" at step {word.step}" if word.step else ""
        line(f"{clock(word.time)} {word.verdict} by {word.by}{at}{about}{because}")
    for request in asked:
        answer = f": {request.answer}" if request.answer else ""
        line(f"{clock(request.time)} {request.kind} asked by {request.by}: {request.state}{answer}")
    return Exit.DONE


def _came(step: "Step") -> str:
    """What came of it, or how much of a wait is left; of a step about requests, and of a flag that is still to be set, also what it is."""
    if step.action == "flag" and step.state in ("pending", "started"):
        from quarterdeck.rollouts.plans.flags import flag_words

        return flag_words(step.body)
    if left := left_words(step):
        return left
    what = step_words(step.action, step.body, done=step.state == "done")
    came = outcome_text(step.outcome) if what else outcome_text(step.outcome, step.action)
    waits = step.outcome.get("waits") if what else ""
    return ", ".join(str(part) for part in (what, short_words(step.outcome), waits, came) if part)


def _queue_value(queue: "Queued | None") -> dict[str, Any] | None:
    return queue.value() if queue is not None else None


def step_value(step: "Step") -> dict[str, Any]:
    return {
        "seq": step.seq,
        "batch": step.batch,
        "host": step.host,
        "action": step.action,
        "state": str(step.state),
        "attempt": step.attempt,
        "started": step.started,
        "ended": step.ended,
        "body": step.body,
        "outcome": step.outcome,
    }


def approval_value(word: "Approval") -> dict[str, Any]:
    return {
        "verdict": word.verdict,
        "by": word.by,
        "time": word.time,
        "reason": word.reason,
        "plan_hash": word.plan_hash,
        "step": word.step or None,
    }


def _request_value(request: "Request") -> dict[str, Any]:
    return {
        "request": request.id,
        "kind": request.kind,
        "step": request.step,
        "by": request.by,
        "time": request.time,
        "arguments": request.arguments,
        "state": request.state,
        "answer": request.answer,
    }


def run_watch(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.outcome import result

    rollout = rollout_to_read(session, arguments.rollout)
    show = None
    if session.printer.json:

        def record(event: "Event") -> None:
            session.printer.record(event_value(event))

        show = record
    ended = follow(session, rollout.id, timeout=arguments.timeout, show=show)
    now = session.journal.rollout(rollout.id)
    if ended is None:
        session.printer.say(
            f"qd: rollout {now.id} is {now.state} and goes on; follow it with: qd watch {now.id}", "warn"
        )
        return Exit.WAITING
    summary = result(session.journal, now.id)
    status = int(summary["exit_status"])
    sentence = ended_sentence(now, summary)
    if status == Exit.DONE:
        session.printer.line(sentence, "ok")
    else:
        session.printer.say(f"qd: {sentence}", "bad")
    return status
