"""A post-mortem as a Markdown document. Pure. Everything foreign in it is escaped: see ``escaping``."""

from collections.abc import Sequence
from typing import Final

from quarterdeck.history.records import Event, Rollout
from quarterdeck.rollouts.differences import releases as releases_diff
from quarterdeck.rollouts.outcome import seconds
from quarterdeck.rollouts.post_mortem.values import MetricEvidence, PostMortem
from quarterdeck.tui.cli.following import describe, outcome_text
from quarterdeck.tui.cli.routing_words import place_words, step_words
from quarterdeck.tui.cli.times import clock, day_and_clock, duration, seconds_between
from quarterdeck.tui.evidence.charts import COLUMNS, chart, number
from quarterdeck.tui.evidence.escaping import block, inline, table
from quarterdeck.tui.evidence.story import sentences

MOST_LINES: Final = 1000  # of the timeline, and of the steps
MOST_OF_A_DIFF: Final = 400
_LEFT_OUT: Final = frozenset(
    {"worker", "fence", "release", "step.started", "approvals.wanted", "queue.joined", "queue.left"}
)
_PROTECTED: Final = frozenset(
    {"approved", "rejected", "override", "freeze", "freeze.ended", "verdict", "debt", "host.away"}
)
_NAMED: Final = frozenset({"state", "armed", "note", "reason", "override", "freeze", "verdict", "replanned"})
FOLLOW_UPS: Final = (
    "What let this reach its hosts?",
    "What would have shown it sooner?",
    "What is to be changed, by whom, until when?",
)


def markdown(found: PostMortem, fleet: str, *, ascii_only: bool = False) -> str:
    """The whole document, with a line end. ``ascii_only``: charts without Unicode's blocks; foreign text stays as it is."""
    rollout = found.rollout
    parts = [
        [f"# Rollout {rollout.id}: {inline(str(rollout.kind))} of {inline(rollout.target)}"],
        _header(found, fleet),
        ["## Summary", "", *(inline(one) for one in sentences(found))],
        _timeline(found),
        _hosts(found),
        _steps(found),
        _metrics(found.metrics, ascii_only=ascii_only),
        _difference(found),
        _protection(found),
        _logs(found),
        ["## Follow-ups", "", *(f"- [ ] {one}" for one in FOLLOW_UPS)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _header(found: PostMortem, fleet: str) -> list[str]:
    rollout = found.rollout
    took = seconds(rollout)
    status = f", exit status {found.exit_status}" if found.exit_status is not None else ""
    rows = [
        ("Target", f"{inline(rollout.target)} (fleet {inline(fleet)})"),
        ("From", _release_words(rollout.from_release, found)),
        ("To", _release_words(rollout.to_release, found)),
        ("Who", inline(_who(found))),
        ("Reason", inline(rollout.reason) or "none was given"),
        ("Outcome", inline(str(rollout.state).replace("_", " ")) + status),
        ("Asked for", _time(rollout.created)),
        ("Began", _time(rollout.started) if rollout.started else "did not begin"),
        (
            "Ended",
            (_time(rollout.ended) if rollout.ended else "has not ended")
            + (f", took {duration(took)}" if took is not None else ""),
        ),
    ]
    if found.detected is not None:
        rows.append(("Time to detect", duration(found.detected.seconds)))
    if found.restored_seconds is not None:
        rows.append(("Time to restore", duration(found.restored_seconds)))
    if found.restored_by is not None:
        rows.append(
            (
                "Made well by",
                f"rollout {found.restored_by.rollout} ({inline(found.restored_by.kind)} of {inline(found.restored_by.by)})",
            )
        )
    if found.restores:
        rows.append(("Made well", ", ".join(f"rollout {one.rollout}" for one in found.restores)))
    return table(("", ""), [(f"**{name}**", value) for name, value in rows])


def _release_words(release: str | None, found: PostMortem) -> str:
    row = next((one for one in (found.before, found.after) if one is not None and one.id == release), None)
    if release is None:
        asked = found.rollout.options.get("version")
        return (
            f"{inline(str(asked))} (it never became a release)"
            if asked and release == found.rollout.to_release
            else "nothing"
        )
    if row is None:
        return f"{inline(release)} (this journal does not know it)"
    commit = f", commit {inline(row.release.commit)}" if row.release.commit else ""
    return f"{inline(release)}, sha256 {inline(row.release.artifact.sha256[:12])}{commit}, {inline(row.verdict)}"


def _who(found: PostMortem) -> str:
    asked = next((e for e in found.events if e.kind == "requested" and e.rollout == found.rollout.id), None)
    where = str(asked.body.get("where") or "") if asked is not None else ""
    return found.rollout.requested_by + (f", from {where}" if where else "") + f" (uid {found.rollout.uid})"


def _timeline(found: PostMortem) -> list[str]:
    told = [(event, words) for event in found.events if (words := _event_words(event, found.rollout))]
    minutes = duration(found.around)
    rows = [(_time(event.time), inline(words)) for event, words in told[:MOST_LINES]]
    lines = [
        "## Timeline",
        "",
        f"UTC, with what happened to the target from {minutes} before until {minutes} after.",
        "",
    ]
    lines += table(("Time", "What"), rows)
    return lines + _more(len(told) - len(rows) + found.left_out, "lines")


def _event_words(event: Event, rollout: Rollout) -> str:
    """Empty for what is told elsewhere: measurements, steps that begin."""
    if event.kind in _LEFT_OUT:
        return ""
    text = event_text(event)
    if not text:
        return ""
    who = f" by {event.who}" if event.who and event.who not in text and not event.kind.startswith("step.") else ""
    other = f"rollout {event.rollout}: " if event.rollout is not None and event.rollout != rollout.id else ""
    return f"{other}{text}{who}"


def event_text(event: Event) -> str:
    """What happened, in one line without columns."""
    text = " ".join(describe(event)[0].split()).removeprefix("- ")
    word = str(event.body.get("to", "")).replace("_", " ") if event.kind == "state" else event.kind
    rest = text.removeprefix(word).strip()
    return f"{word}: {rest}" if event.kind in _NAMED and text.startswith(word) and rest else text


def _more(count: int, what: str) -> list[str]:
    return (
        ["", f"{count} more {what} are left out here; `qd report --json` and `qd history --steps` have them."]
        if count > 0
        else []
    )


def _hosts(found: PostMortem) -> list[str]:
    if not found.hosts:
        return ["## Hosts", "", "No host was reached."]
    rows = [
        (
            inline(one.host),
            one.state.replace("_", " "),
            inline(one.release or "nothing"),
            duration(one.seconds) if one.seconds is not None else "",
            inline(one.error),
        )
        for one in found.hosts[:MOST_LINES]
    ]
    return [
        "## Hosts",
        "",
        *table(("Host", "Outcome", "Ran at the end", "Took", "Why"), rows),
        *_more(len(found.hosts) - len(rows), "hosts"),
    ]


def _steps(found: PostMortem) -> list[str]:
    if not found.steps:
        return ["## Steps", "", "There were none."]
    rows = []
    for step in found.steps[:MOST_LINES]:
        took = seconds_between(step.started, step.ended)
        what = step_words(step.action, step.body, done=step.state == "done")
        came = outcome_text(step.outcome) if what else outcome_text(step.outcome, step.action)
        rows.append(
            (
                str(step.seq),
                str(step.batch),
                inline(place_words(step.host, step.action)),
                inline(step.action),
                inline(str(step.state)) + (f" (attempt {step.attempt})" if step.attempt > 1 else ""),
                clock(step.started) if step.started else "",
                f"{took:.1f}" if took is not None else "",
                inline(", ".join(part for part in (what, came) if part)),
            )
        )
    headers = ("Step", "Wave", "Host", "Action", "State", "Began", "Seconds", "Outcome")
    return ["## Steps", "", *table(headers, rows), *_more(len(found.steps) - len(rows), "steps")]


def _metrics(metrics: Sequence[MetricEvidence], *, ascii_only: bool) -> list[str]:
    if not metrics:
        return []
    parts = ["## Analysis"]
    for metric in metrics:
        dry = ", dry run" if metric.dry_run else ""
        count = f" of {metric.count}" if metric.count is not None else ""
        parts += ["", f"### {inline(metric.name)} (step {metric.step}): {inline(metric.state)}{dry}", ""]
        parts.append(
            f"{metric.measured}{count} measured, {metric.failed} failed, {metric.errors} errors. {inline(metric.why)}".strip()
        )
        if limits := _limits(metric):
            parts += ["", f"Limits: {inline(limits)}"]
        if metric.points:
            parts += ["", *block(chart_lines(metric, ascii_only=ascii_only))]
    return parts


def _limits(metric: MetricEvidence) -> str:
    found = [f"success {metric.success}"] if metric.success else []
    found += [f"failure {metric.failure}"] if metric.failure else []
    found += [f"compared with {metric.compare}"] if metric.compare else []
    found.append(f"{metric.failure_limit} failures are borne, every {duration(metric.interval)}")
    return "; ".join(found)


def chart_lines(metric: MetricEvidence, *, ascii_only: bool = False, columns: int = COLUMNS) -> list[str]:
    """New beside old, on one scale, and what the scale is."""
    sides = [("new", [point.canary for point in metric.points])]
    if any(point.baseline is not None for point in metric.points):
        sides.append(("old", [point.baseline for point in metric.points]))
    numbers = [value for _, values in sides for value in values if value is not None]
    first, last = clock(metric.points[0].time), clock(metric.points[-1].time)
    count = len(metric.points) + metric.left_out
    head = f"{first} to {last} UTC, {count} measurement{'s' if count != 1 else ''}"
    if not numbers:
        return [head, "no numbers were measured"]
    low, high = min(0.0, *numbers), max(numbers)
    errors = [bool(point.error) for point in metric.points]
    rows = []
    for name, values in sides:
        known = [value for value in values if value is not None]
        last_value = f"last {number(known[-1])}, most {number(max(known))}" if known else "nothing"
        drawn = chart(values, errors, low, high, columns=columns, ascii_only=ascii_only)
        rows.append(f"{name} |{drawn}| {last_value}")
    return [
        head,
        *rows,
        f"scale {number(low)} to {number(high)}" + ("; x: could not be measured" if any(errors) else ""),
    ]


def _difference(found: PostMortem) -> list[str]:
    lines = ["## What differs between the releases", ""]
    if found.difference is None:
        return [*lines, "Not known: there is no release before, or this journal does not know one of the two."]
    every = [text for text, _ in releases_diff.lines(found.difference)]
    return [*lines, *block(every[:MOST_OF_A_DIFF], "diff"), *_more(len(every) - MOST_OF_A_DIFF, "lines")]


def _protection(found: PostMortem) -> list[str]:
    """What stood between the release and its hosts, and what of it was set aside."""
    rollout = found.rollout
    rows = []
    for word in found.approvals:
        at = f" at step {word.step}" if word.step else ""
        rows.append(
            f"{_time(word.time)} {inline(word.verdict)} by {inline(word.by)}{at}"
            + (f": {inline(word.reason)}" if word.reason else "")
        )
    for event in found.events:
        if event.kind in _PROTECTED - {"approved", "rejected"} and (event.rollout in (None, rollout.id)):
            rows.append(f"{_time(event.time)} {inline(_event_words(event, rollout))}")
    if rollout.options.get("force"):
        rows.append("It was forced (`--force`): a release that is marked bad, or a check, was set aside.")
    if rollout.options.get("supersede"):
        rows.append("It was to take the place of what was under way (`--supersede`).")
    if named := [str(one) for one in rollout.options.get("override") or ()]:
        rows.append(f"Policies that it was to set aside: {inline(', '.join(named))}")
    for warning in (rollout.plan or {}).get("warnings") or ():
        rows.append(f"Warned of before it began: {inline(str(warning))}")
    return [
        "## What protected it, and what was set aside",
        "",
        *([f"- {row}" for row in rows] or ["Nothing was asked, held or set aside."]),
    ]


def _logs(found: PostMortem) -> list[str]:
    logs = found.logs
    if logs is None:
        return []
    lines = ["## Logs around it", ""]
    if logs.lines:
        width = max(len(line.host) for line in logs.lines)
        shown = [
            f"{clock(line.time) if line.time else '        '} {line.host:<{width}} {line.text}" for line in logs.lines
        ]
        lines += block(shown)
    said = [f"- {inline(one)}" for one in logs.said]
    return (
        [*lines, *([""] if logs.lines and said else []), *said]
        if logs.lines or said
        else [*lines, "Nothing was logged."]
    )


def _time(text: str) -> str:
    return inline(day_and_clock(text))
