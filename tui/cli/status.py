"""``qd status``: what runs where, since when, by whom, how it is, and whether the way back is open."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.swarm_words import swarm_remarks
from quarterdeck.tui.cli.times import age

if TYPE_CHECKING:
    from quarterdeck.tui.cli.printing import Printer
    from quarterdeck.tui.cli.session import Session

SOME = 4  # hosts of one target that are told one by one where many targets are shown
MARKS = {"healthy": ("=", "ok"), "degraded": ("~", "warn"), "down": ("x", "bad"), "unhealthy": ("x", "bad")}


def declare_status(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "status",
        run=run_status,
        description=(
            "What runs on every target, since when, by whom, how healthy it is, and whether the way back is open.\n\n"
            "The hosts are asked, a hundred at once; one that gives no answer for 15 seconds is shown with what was\n"
            "last known of it and why. --cached asks nobody and shows what the journal knows.\n"
            "Marks: = ok, > rolling, x down, ~ degraded or drifted, ? unknown, # frozen: no deploy begins there."
        ),
        example="qd status\nqd status production\nqd status production/api --json",
    )
    completion.add_target_or_environment(parser, "only")
    parser.add_argument("--cached", action="store_true", help="ask no host: what the journal knows")


def run_status(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.status import status

    names = session.targets(arguments.only)
    session.tend()
    if not arguments.cached:
        look(session, names)
    document = status(session.fleet, session.journal, only=arguments.only)
    session.printer.document(document)
    if not session.printer.json:
        show(session.printer, document)
        _show_freezes(session, names)
    return Exit.DONE


def look(session: "Session", names: Sequence[str]) -> None:
    """Asks the hosts of these targets, and keeps what they say; in a read-only session nobody is asked."""
    if session.read_only:
        return
    import asyncio

    from quarterdeck.history.errors import JournalBusy, JournalFull
    from quarterdeck.rollouts.status import observe

    try:
        asyncio.run(observe(session.fleet, session.journal, names))
    except (JournalBusy, JournalFull) as error:
        # In an incident something must be seen: what was known before, and why it is not newer.
        session.printer.say(f"qd: the hosts were asked, but what they said could not be kept: {error}", "warn")


def _show_freezes(session: "Session", names: Sequence[str]) -> None:
    """A line for each environment of these targets that takes no deploy now."""
    from datetime import UTC, datetime

    from quarterdeck.rollouts.frozen import standings

    shown = {name.partition("/")[0] for name in names}
    environments = {name: each for name, each in session.fleet.environments.items() if name in shown}
    for name, standing in standings(environments, session.journal.made_freezes(), datetime.now(UTC)).items():
        if standing.now is not None:
            session.printer.line(f"# {name} is frozen {standing.now.words}", "warn")


def show(printer: "Printer", document: Mapping[str, Any]) -> None:
    """The table, and below it what does not fit into it."""
    targets: list[dict[str, Any]] = document["targets"]
    rows = [_row(target) for target in targets]
    printer.table(
        ("TARGET", "VERSION", "HEALTH", "SINCE", "HOSTS", "WAY BACK", "BY"),
        [cells for cells, _ in rows],
        [style for _, style in rows],
    )
    for target in targets:
        for line, style in _remarks(target, whole=len(targets) == 1):
            printer.line(line, style)
    for name, preview in {one["target"].partition("/")[0]: one.get("preview") for one in targets}.items():
        if preview is not None and preview["expired"]:
            until = preview["until"][:16].replace("T", " ")
            way = f"qd env remove {name}, or: qd env extend {name} --for 2d"
            printer.line(f"x the preview {name} of {preview['from']} is over since {until}Z: {way}", "bad")


def _row(target: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    mark, style = MARKS.get(str(target["health"]), ("?", "warn"))
    if target["rollout"]:
        mark, style = ">", "moving"
    elif target["release"] is None:
        mark, style = "-", "dim"
    running, total = counted(target)
    ready = target["ready"]
    back = ready["state"] + (f" {_short(ready['to'])}" if ready["to"] else "")
    return (
        target["target"],
        target["version"] or "-",
        f"{mark} {target['health']}",
        age(target["since"]),
        f"{running}/{total}",
        back,
        target["by"] or "-",
    ), style


def counted(target: Mapping[str, Any]) -> tuple[int, int]:
    """How many of its hosts run its release, and how many there are; of a Swarm, of the tasks that it should have."""
    running, total = 0, 0
    for host in target["hosts"]:
        same = host["release"] is not None and host["release"] == target["release"]
        swarm = host["swarm"]
        running += same if swarm is None else swarm["running"]
        total += 1 if swarm is None else max(swarm["wanted"], 1)
    return running, total


def _short(release: str) -> str:
    """The version of a release's id."""
    return release.rpartition("-")[0] or release


def _remarks(target: Mapping[str, Any], *, whole: bool) -> list[tuple[str, str]]:
    """What does not fit into the row: a rollout under way, or one that failed, hosts that differ; ``whole``: every host, and why the way
    back is not open."""
    found: list[tuple[str, str]] = []
    name = target["target"]
    rollout = target["rollout"]
    if rollout:
        why = f": {rollout['reason']}" if rollout.get("reason") else ""
        found.append(
            (
                f"> {name}: rollout {rollout['rollout']} ({rollout['kind']}) by {rollout['by']} is {rollout['status']}{why}",
                "moving",
            )
        )
    if failed := target["failed"]:
        found.append((f"x {name}: rollout {failed['rollout']} failed: {failed['reason']}", "bad"))
    hosts: list[tuple[str, str]] = []
    for host in target["hosts"]:
        seen = f", seen {age(host.get('seen'))} ago" if host.get("seen") else ""
        runs = host["version"] or host["release"] or "nothing"
        if host["error"]:
            known = f"last known: {runs}{seen}" if host["release"] else "what runs there is not known"
            hosts.append(
                (
                    f"? {name} on {host['host']}: {host['error'].removeprefix(host['host'] + ': ')} ({known})",
                    "bad",
                )
            )
        elif host.get("changed"):
            hosts.append((f"~ {name} on {host['host']}: {runs}, {'; '.join(host['changed'])}{seen}", "warn"))
        elif host.get("drift"):
            hosts.append(
                (f"~ {name} on {host['host']}: runs {runs}, {target['version'] or 'nothing'} is recorded{seen}", "warn")
            )
        elif whole or (host["health"] not in {"healthy", "unknown"} and target["release"] is not None):
            mark, style = MARKS.get(str(host["health"]), ("?", "warn"))
            tasks = _tasks(swarm) if (swarm := host["swarm"]) else ""
            hosts.append((f"{mark} {name} on {host['host']}: {runs}, {host['health']}{tasks}{seen}", style))
        if whole and host["swarm"] is not None:
            hosts += swarm_remarks(target, host)
    found += hosts if whole else _some(hosts, name)
    if target["router"]:
        found += _router_remarks(name, target["router"], whole=whole)
    for debt in target["owed"]:
        release = _short(debt["release"]) if debt["release"] else "a change"
        owed = f"owed {release} for {age(debt['since'])}; when it is back: qd retry {debt['rollout']}"
        found.append((f"x {name} on {debt['host']}: {owed}", "bad"))
    if whole or (target["ready"]["state"] == "degraded"):
        reasons = target["ready"]["reasons"]
        shown = [(f"! {name}: way back {target['ready']['state']}: {reason}", "warn") for reason in reasons]
        found += shown if whole else _some(shown, name)
    return found


def _tasks(swarm: Mapping[str, Any]) -> str:
    """``, 6 of 6 tasks run, 5 are well``."""
    ill = swarm["well"] is not None and swarm["well"] < swarm["running"]
    well = f", {swarm['well']} {'is' if swarm['well'] == 1 else 'are'} well" if ill else ""
    return f", {swarm['running']} of {swarm['wanted']} tasks run{well}"


def _some(lines: list[tuple[str, str]], target: str) -> list[tuple[str, str]]:
    """The first of them, and how many there are more: a target may have a thousand hosts, and the next one's lines come below."""
    if len(lines) <= SOME + 1:
        return lines
    more = f"  … {target}: {len(lines) - SOME} more like these; all of them: qd status {target}"
    return [*lines[:SOME], (more, lines[SOME][1])]


def _router_remarks(target: str, router: Mapping[str, Any], *, whole: bool) -> list[tuple[str, str]]:
    """Which release gets how many of the requests, where more than one gets some, or somebody else has changed it; ``whole``: always."""
    from quarterdeck.tui.cli.routing_words import percent

    names = {one["slot"]: one["version"] or one["slot"] for one in router["releases"]}
    slots = bool(router["changed"]) or len(set(names.values())) < len(names)
    shares = [
        f"{names[one['slot']]}{' (' + one['slot'] + ')' if slots else ''} {percent(one['percent'])}"
        for one in router["releases"]
    ]
    rules = [f"{one['on']} {one['value']} to {names.get(one['slot'], one['slot'])}" for one in router["rules"]]
    goes = "; ".join(", ".join(part) for part in (shares, rules) if part) or "to nobody"
    seen = f", seen {age(router['seen'])} ago" if router["seen"] else ""
    if router["error"]:
        known = f"last known: requests {goes}{seen}" if router["seen"] else "how requests go is not known"
        return [(f"? {target} behind {router['router']}: {router['error']} ({known})", "bad")]
    if router["changed"]:
        return [
            (f"~ {target} behind {router['router']}: {'; '.join(router['changed'])}; requests {goes}{seen}", "warn")
        ]
    if whole or len(router["releases"]) > 1 or router["rules"]:
        return [(f"= {target} behind {router['router']}: requests {goes}{seen}", "ok")]
    return []
