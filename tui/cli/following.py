"""Following a rollout: one plain line for each thing that happens, until it has ended or the operator has seen enough.

It reads the journal only; the rollout neither knows nor cares whether anybody follows.
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.rollouts.picture.router import router_seen
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.cli.exits import Exit, Interrupted
from quarterdeck.tui.cli.routing_words import outcome_words, place_words, requests_words
from quarterdeck.tui.cli.times import clock, duration

if TYPE_CHECKING:
    from quarterdeck.history.records import Event, Rollout
    from quarterdeck.tui.cli.session import Session

WORKER_COMES = 20.0  # seconds that a worker which was just started may need on a busy machine
HOST_COLUMNS = 12
ACTION_COLUMNS = 10


def add_waiting_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("waiting")
    how = group.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="follow it until it has ended (the default)")
    how.add_argument("--detach", action="store_true", help="return as soon as it has begun; it goes on by itself")
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_seconds,
        help="wait no longer than this: exit status 7, the rollout goes on",
    )


def positive_seconds(text: str) -> float:
    """Seconds, with or without a unit (``90``, ``90s``, ``5m``, ``1h``)."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90, 90s, 5m or 1h")
    return value


def follow(
    session: "Session",
    rollout: int,
    *,
    after: int = 0,
    timeout: float | None = None,
    show: "Callable[[Event], None] | None" = None,
    worker_comes: bool = False,
) -> "Rollout | None":
    """Shows what happens to ``rollout`` until it has ended, or stands still for want of a decision (its worker died).

    ``worker_comes``: a new worker has just been started for it, and gets some seconds to take it up.
    Returns it then, or None when ``timeout`` seconds are over. Raises Interrupted on Ctrl-C, and when what is shown goes
    nowhere any more (a reader that left, a full disk) before the end is known: that is no success.
    """
    from quarterdeck.history.records import ENDED, RolloutState
    from quarterdeck.rollouts.awaiting import await_state, follow

    show = show or _line_shower(session)
    began = time.monotonic()
    deadline = None if timeout is None else began + timeout
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            for event in follow(session.journal, rollout, after=after, timeout=left):
                after = event.seq
                try:
                    show(event)
                except OSError as error:
                    if session.journal.rollout(rollout).state not in ENDED:
                        raise Interrupted(f"{_unheard(error)}; {_goes_on(rollout)}") from None
                    break  # the status still says how it ended
            now = session.journal.rollout(rollout)
            if now.state in ENDED:
                return now
            if deadline is not None and time.monotonic() >= deadline:
                return None
            if worker_comes and time.monotonic() - began < WORKER_COMES:
                time.sleep(0.05)
                continue
            # The worker is dead. What policy says about that is done now; a rollout that nobody may take up stands still.
            if not session.read_only:
                session.control.tend()
                now = session.journal.rollout(rollout)
            if now.state is RolloutState.ORPHANED or session.read_only:
                return now
            if await_state(session.journal, rollout, ENDED, 0.3) is None:
                continue
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_goes_on(rollout)}") from None


def _goes_on(rollout: int) -> str:
    return f"rollout {rollout} goes on. Follow it with: qd watch {rollout}"


def _unheard(error: OSError) -> str:
    if isinstance(error, BrokenPipeError):
        return "nobody reads the output any more"
    return f"{error.filename or 'the output'} can't be written ({(error.strerror or '').lower()})"


def _line_shower(session: "Session") -> "Callable[[Event], None]":
    ended = False
    requests = ""

    def show(event: "Event") -> None:
        nonlocal ended, requests
        line, style = describe(event)
        if event.kind == "routed":  # servers that enter and leave are told by their steps
            line, requests = ("", requests) if line == requests else (line, line)
        if event.kind == "state":
            ended = str(event.body.get("to")) in ENDS
        if line and not (
            ended and event.kind == "step.started"
        ):  # cleaning up goes on after the end, and can't change it
            session.printer.progress(f"{clock(event.time)} {line}", style)
        if event.kind == "armed":  # with --yes no card has shown them
            for warning in event.body.get("warnings") or ():
                line, style = _columns("-", "warning", str(warning), "warn")
                session.printer.progress(f"{clock(event.time)} {line}", style)

    return show


def describe(event: "Event") -> tuple[str, str]:
    """An event as ``host  step  outcome`` and the style it is shown in; an empty line for what is not worth one. One that another version
    of the program wrote in another way is told as it stands."""
    try:
        return _described(event)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError):
        return _as_it_stands(event)


def _described(event: "Event") -> tuple[str, str]:
    body = event.body
    kind = event.kind
    if kind.startswith("step."):
        action = str(body.get("action", ""))
        where = place_words(event.host or "-", action)
        return _columns(where, action, *_step_outcome(kind.removeprefix("step."), body))
    match kind:
        case "state":
            state = str(body.get("to", ""))
            return _columns("-", state.replace("_", " "), str(body.get("outcome") or ""), STATE_STYLES.get(state, ""))
        case "armed":
            return _columns("-", "armed", str(body.get("summary") or body.get("to_release") or ""), "")
        case "requested":
            to = body.get("to_release") or (body.get("options") or {}).get("version") or "?"
            why = f", because: {body['reason']}" if body.get("reason") else ""
            return _columns("-", "requested", f"{body.get('kind')} to {to} by {event.who}{why}", "")
        case "request":
            asked = (body.get("arguments") or {}).get("reason")
            because = f", because: {asked}" if asked else ""
            return _columns("-", str(body.get("kind", "")), f"asked by {event.who}{because}", "warn")
        case "answer":
            return _columns("-", str(body.get("kind", "")), f"{body.get('state')}: {body.get('answer')}", "warn")
        case "note":
            return _columns("-", "note", f"{body.get('text')} ({event.who})", "warn")
        case "reason":
            return _columns("-", "reason", f"{body.get('reason')} ({event.who})", "warn")
        case "exec":
            return _columns(_ran_at(event), "exec", f"{body.get('command')} ({event.who})", "warn")
        case "exec.ended":
            status = body.get("exit_status")
            came = f"ended with {status}" if status is not None else str(body.get("error", ""))
            return _columns(_ran_at(event), "exec", f"{came}: {body.get('command')}", "" if status == 0 else "warn")
        case "takeover":
            return _columns("-", "takeover", f"by a new worker of {event.who}: it is {body.get('to')}", "warn")
        case "verdict":
            why = f": {body['reason']}" if body.get("reason") else ""
            return _columns("-", "verdict", f"{body.get('release')} is {body.get('verdict')}{why}", "")
        case "host.away":
            waits = f"up to {duration(float(body.get('seconds') or 0))} for it to come back: {body.get('reason')}"
            return _columns(event.host or "-", "waits", waits, "warn")
        case "debt":
            return _columns(event.host or "-", "owed", f"{body.get('release')}: {body.get('reason')}", "bad")
        case "debt.settled":
            return _columns(event.host or "-", "settled", f"has {body.get('release')} now", "ok")
        case "adopted":
            return _columns("-", "adopted", f"current {body.get('current')}, previous {body.get('previous')}", "")
        case "preview.made" | "preview.extended" | "preview.removed":
            left = f"; may be left on {', '.join(body['left_on'])}" if body.get("left_on") else ""
            until = "" if kind.endswith("removed") else f" until {str(body.get('until'))[:16].replace('T', ' ')}Z"
            told = (
                f"{body.get('environment')} of {body.get('from')} {kind.partition('.')[2]}{until}{left} ({event.who})"
            )
            return _columns("-", "preview", told, "warn" if left else "")
        case "host.prepared":
            by = " by sudo" if body.get("sudo") else ""
            return _columns(event.host or "-", "prepared", f"{'; '.join(body.get('made') or ())}{by} ({event.who})", "")
        case "release":
            return _columns("-", "release", f"{body.get('release')} is new", "dim")
        case "replanned":
            return _columns("-", "replanned", f"because {body.get('because')}", "warn")
        case "approvals.wanted" | "queue.joined" | "queue.left":
            return "", ""  # the state says it, in words
        case "approved" | "rejected":
            why = f", because: {body['reason']}" if body.get("reason") else ""
            at = f" at step {body['step']}" if body.get("step") else ""
            return _columns("-", kind, f"by {event.who}{at}{why}", "ok" if kind == "approved" else "warn")
        case "freeze":
            until = f" until {body['until']}" if body.get("until") else ""
            return _columns(
                "-", "freeze", f"{body.get('environment')} frozen{until}: {body.get('reason')} ({event.who})", "warn"
            )
        case "freeze.ended":
            why = f": {body['reason']}" if body.get("reason") else ""
            return _columns("-", "freeze", f"{body.get('environment')} is not frozen any more{why} ({event.who})", "")
        case "override":
            what = (
                f", frozen {body['frozen']}"
                if body.get("frozen")
                else f": {body['words']}"
                if body.get("words")
                else ""
            )
            told = f"{body.get('policy')} was set aside{what}; because: {body.get('reason')} ({event.who})"
            return _columns("-", "override", told, "warn")
        case "notified" | "notify.failed":
            service = f" ({body['service']})" if body.get("service") else ""
            to = f"notify {body.get('to')}{service}"
            word = str(body.get("event", "")).replace("_", " ")
            if kind == "notified":
                return _columns("-", "told", f"{to} of: {word}", "dim")
            return _columns("-", "not told", f"of: {word}; {body.get('why') or to}", "warn")
        case "pause.until":
            action = str(body.get("action") or "pause")
            return _columns("-", action, f"for {duration(float(body.get('seconds') or 0))}", "dim")
        case "analysis.measured":
            return _columns(
                "-", "analysis", ", ".join(_measured(sample) for sample in body.get("samples") or ()), "dim"
            )
        case "analysis.begun":
            return _columns("-", "analysis", "measuring begins", "dim")
        case "routed":
            seen = router_seen(None, event)
            return _columns(seen.name, "requests", requests_words(seen), "") if seen is not None else ("", "")
        case "flag.set":
            why = f", because: {body['reason']}" if body.get("reason") else ""
            by = f" ({event.who}{why})" if event.rollout is None else ""
            return _columns(
                "-", "flag", f"{body.get('flag')}: {_share(body, 'before')} → {_share(body, 'after')}{by}", ""
            )
        case "flag.failed":
            told = f"{body.get('flag')} could not be switched off ({event.who}, because: {body.get('reason')}): {body.get('error')}"
            return _columns("-", "flag", told, "bad")
        case "way_back.closed":
            return _columns(
                "-", "way back", f"to {body.get('version')} closed: {'; '.join(body.get('reasons') or ())}", "warn"
            )
        case "way_back.open":
            return _columns("-", "way back", f"to {body.get('version')} open again", "ok")
        case "drill.restored":
            back = f"{version_of(str(body.get('release') or ''))} is back everywhere after {duration(float(body.get('seconds') or 0))}"
            return _columns("-", "drill", f"{back}; now there again", "ok")
        case "worker" | "fence" | "drilled":  # what was measured is in the words of its end
            return "", ""
    return _as_it_stands(event)


def _as_it_stands(event: "Event") -> tuple[str, str]:
    words = ", ".join(
        f"{key} {value}" for key, value in event.body.items() if isinstance(value, str | int) and value != ""
    )
    return _columns(event.host or "-", event.kind, words, "")


ENDS = frozenset({"succeeded", "rolled_back", "failed", "cancelled", "superseded"})
STATE_STYLES = {
    "succeeded": "ok",
    "rolled_back": "warn",
    "failed": "bad",
    "cancelled": "warn",
    "superseded": "warn",
    "orphaned": "bad",
    "paused": "warn",
    "queued": "warn",
    "aborting": "warn",
    "rolling_back": "warn",
    "running": "moving",
    "baking": "moving",
}


def _step_outcome(what: str, body: Mapping[str, Any]) -> tuple[str, str]:
    outcome = body.get("outcome")
    details = outcome if isinstance(outcome, Mapping) else body
    if what == "started":
        attempt = int(body.get("attempt", 1) or 1)
        return ("begins" if attempt < 2 else f"begins, attempt {attempt}"), "dim"
    text = outcome_text(details, str(body.get("action", "")))
    style = {"done": "ok", "failed": "bad"}.get(what, "warn")
    return (f"{what}: {text}" if text else what), style


def outcome_text(outcome: Mapping[str, Any], action: str = "") -> str:
    """A step's outcome in words: its own sentence, what became of requests, and how long it took."""
    parts = [
        str(outcome[key]) for key in ("error", "problem", "detail", "health", "reason", "output") if outcome.get(key)
    ][:1]
    if routed := outcome_words(action, outcome):
        parts.append(routed)
    if outcome.get("cut"):
        parts.append(f"{outcome['cut']} requests cut")
    if outcome.get("not_drained"):
        parts.append(f"its requests were not waited for: {outcome['not_drained']}")
    seconds = outcome.get("seconds")
    if isinstance(seconds, int | float):
        parts.append(duration(float(seconds)))
    return ", ".join(parts)


def _share(body: Mapping[str, Any], when: str) -> str:
    """``5 %``, ``5 %, switched off``."""
    state = body.get(when) or {}
    return f"{float(state.get('percent') or 0):g} %" + ("" if state.get("enabled", True) else ", switched off")


def _measured(sample: Mapping[str, Any]) -> str:
    """``errors 0.4 beside 0.3``; what a source said that gave no number, or why it could not measure."""
    sides = [sample[side] for side in ("canary", "baseline") if sample.get(side)]
    numbers = [
        f"{one['value']:.6g}" if one.get("value") is not None else str(one.get("detail") or "no data") for one in sides
    ]
    return f"{sample['metric']} {' beside '.join(numbers) or sample.get('error') or 'nothing measured'}"


def _ran_at(event: "Event") -> str:
    """Of a command: the host, or the task of a swarm."""
    from quarterdeck.rollouts.executing import place_name

    return place_name(event.host, str(event.body.get("task") or "")) if event.host else "-"


def _columns(host: str, action: str, outcome: str, style: str) -> tuple[str, str]:
    return f"{host:<{HOST_COLUMNS}} {action:<{ACTION_COLUMNS}} {outcome}".rstrip(), style


def finish(
    session: "Session",
    rollout: int,
    *,
    detach: bool,
    timeout: float | None,
    after: int = 0,
    worker_comes: bool = False,
) -> int:
    """Waits for a rollout that has begun (unless ``detach``), prints how it ended, and gives the exit status of page 8."""
    from quarterdeck.rollouts.outcome import result

    printer = session.printer
    if detach:
        now = session.journal.rollout(rollout)
        printer.document(result(session.journal, rollout))
        printer.line(f"rollout {rollout}: {now.kind} of {now.target}, {now.state}; follow it with: qd watch {rollout}")
        return Exit.DONE
    ended = follow(session, rollout, after=after, timeout=timeout, worker_comes=worker_comes)
    summary = result(session.journal, rollout)
    with contextlib.suppress(OSError):  # where nobody reads it, the status still says how it ended
        printer.document(summary)
    if ended is None:
        now = session.journal.rollout(rollout)
        why = f": {now.outcome}" if now.outcome else ""
        printer.say(
            f"qd: rollout {rollout} is still {now.state} after {duration(timeout or 0.0)}{why}; follow it with: qd watch {rollout}",
            "warn",
        )
        return Exit.WAITING
    status = int(summary["exit_status"])
    sentence = ended_sentence(ended, summary)
    if status == Exit.DONE:
        with contextlib.suppress(OSError):
            printer.line(sentence, "ok")
    else:
        printer.say(f"qd: {sentence}", "bad")
    return status


def ended_sentence(rollout: "Rollout", summary: Mapping[str, Any]) -> str:
    """How it ended, in one sentence."""
    seconds = summary.get("seconds")
    took = f" in {duration(float(seconds))}" if isinstance(seconds, int | float) else ""
    what = f"rollout {rollout.id}, {rollout.kind} of {rollout.target}"
    if rollout.to_release:
        what += f" to {rollout.to_release}"
    state = str(rollout.state).replace("_", " ")
    return f"{what}: {state}{took}" + (f": {rollout.outcome}" if rollout.outcome else "")
