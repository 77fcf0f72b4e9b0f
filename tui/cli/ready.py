"""``qd ready``: whether every target can be rolled back right now, where that leads, how long it takes, and what is in the way."""

import argparse
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.times import age, ago, duration

if TYPE_CHECKING:
    from quarterdeck.rollouts.way_back.ready import Beside
    from quarterdeck.tui.cli.session import Session

STYLES = {"ready": "ok", "degraded": "warn", "closed": "bad"}
_WORST = {"closed": 0, "degraded": 1, "ready": 2}


def declare_ready(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "ready",
        run=run_ready,
        description=(
            "Whether the way back is open, for every target on which something runs, the least ready first: where a\n"
            "rollback would lead now, how long the last ones took, how long ago one was practised, and for each host\n"
            "what is in its way.\n\n"
            "The hosts are asked, as by qd status; --cached asks nobody. With --strict it ends with 1 unless all of them\n"
            "are ready, for a pipeline or a monitor. With --tell, what has closed or opened since that was last told is\n"
            "journalled and told to whom the fleet file's `notify` names for `unready`: for a timer, where no control\n"
            "room is open that would do it by itself. A message that was not taken is told on standard error, and ends it with 1."
        ),
        example="qd ready\nqd ready production --strict\nqd ready production/api --json\nqd ready --tell",
    )
    completion.add_target_or_environment(parser, "only")
    parser.add_argument("--cached", action="store_true", help="ask no host: what the journal knows")
    parser.add_argument("--strict", action="store_true", help="exit status 1 unless every way back is ready")
    parser.add_argument(
        "--tell", action="store_true", help="journal and tell which ways back have closed, or opened again"
    )


def run_ready(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.refusals import Refused
    from quarterdeck.rollouts.status import status
    from quarterdeck.tui.cli.status import look

    names = session.targets(arguments.only)
    if arguments.tell and session.read_only:
        raise Refused("--tell writes into the journal, and --read-only was given")
    session.tend()
    if not arguments.cached:
        look(session, names)
    found = [one for one in status(session.fleet, session.journal, only=arguments.only)["targets"] if one["release"]]
    told = _tell(session, names) if arguments.tell else None
    known = {} if arguments.cached else _beside(session, names)
    for one in found:
        _weigh(one, known.get(one["target"]))
    found.sort(key=lambda one: _WORST.get(one["ready"]["state"], 0))
    printer = session.printer
    document: dict[str, Any] = {"fleet": session.fleet.name, "targets": [_value(one) for one in found]}
    printer.document(document | ({"told": told} if told is not None else {}))
    if not printer.json:
        if not found:
            printer.line("nothing has been released yet")
        else:
            _show(session, found, known)
        for one in told or ():
            if not one.get("error"):
                printer.line(_told_words(one))
    untold = [one for one in told or () if one.get("error")]
    for one in untold:
        printer.say(_told_words(one))  # on standard error: a timer's standard output is read by nobody
    unready = any(one["ready"]["state"] != "ready" for one in found)
    return Exit.FAULT if untold or (arguments.strict and unready) else Exit.DONE


def _beside(session: "Session", names: Collection[str]) -> "dict[str, Beside]":
    import asyncio

    from quarterdeck.rollouts.picture.fleet import take_picture
    from quarterdeck.rollouts.way_back.ready import beside

    targets = take_picture(session.fleet, session.journal, names).targets.values()
    return asyncio.run(beside(session.journal, targets, session.fleet.file.parent))


def _weigh(one: dict[str, Any], known: "Beside | None") -> None:
    """What is known beside the hosts, into the target's part of the document; null where nobody was asked."""
    one["secrets"] = dict(known.secrets) if known is not None else None
    one["irreversible"] = list(known.irreversible) if known is not None else None
    ready = one["ready"]
    if known is not None and known.reasons:
        ready["reasons"] += known.reasons
        ready["state"] = "degraded" if ready["state"] == "ready" else ready["state"]


def _tell(session: "Session", names: Collection[str]) -> "list[dict[str, Any]]":
    """What has turned since it was last journalled, and what came of each message about it."""
    import asyncio

    from quarterdeck.rollouts.picture.fleet import take_picture
    from quarterdeck.rollouts.way_back.telling import journalled, tell
    from quarterdeck.rollouts.way_back.watch import WayWatch, said_closed

    journal = session.journal
    turned = WayWatch(said_closed(journal)).look(take_picture(session.fleet, journal, names).targets.values(), 0.0)
    events = journalled(journal, turned)
    turned = [one for one in turned if one.target in events]
    records = asyncio.run(tell(session.fleet, turned, events, journal.operator)) if turned else []
    for kind, target, body in records:
        journal.record(kind, target=target, body=dict(body))
    ways = [{"target": one.target, "way_back": "closed" if one.closed else "open", **one.body()} for one in turned]
    sent = [
        {"notify": body["to"], "service": body["service"], "about": target, "error": body.get("why")}
        for _, target, body in records
    ]
    return [*ways, *sent]


def _told_words(one: Mapping[str, Any]) -> str:
    if "way_back" in one:
        why = f": {'; '.join(one['reasons'])}" if one["reasons"] else ""
        return f"journalled: {one['target']}: the way back to {one['version']} is {one['way_back']}{why}"
    if one["error"]:
        return f"not told: {one['error']}"
    return f"told: notify {one['notify']} ({one['service']}) about {one['about']}"


def _value(one: Mapping[str, Any]) -> dict[str, Any]:
    hosts = [
        {"host": host["host"], "release": host["release"], "health": host["health"], "error": host["error"]}
        for host in one["hosts"]
    ]
    return {
        "target": one["target"],
        "release": one["release"],
        "version": one["version"],
        "ready": one["ready"],
        "drill": one["drill"],
        "secrets": one["secrets"],
        "irreversible": one["irreversible"],
        "hosts": hosts,
    }


def _show(session: "Session", found: "list[dict[str, Any]]", known: "Mapping[str, Beside]") -> None:
    from quarterdeck.rollouts.version_words import version_of

    printer = session.printer
    printer.table(
        ("TARGET", "RUNS", "READY", "ROLL BACK TO", "TOOK", "PRACTISED"),
        [
            (
                one["target"],
                one["version"] or "-",
                one["ready"]["state"],
                version_of(one["ready"]["to"]) or "-",
                duration(one["ready"]["seconds"]) if one["ready"]["seconds"] is not None else "never",
                f"{age(one['drill']['ended'])} ago" if one["drill"] else "never",
            )
            for one in found
        ],
        [STYLES.get(one["ready"]["state"], "bad") for one in found],
    )
    for one in found:
        for reason in one["ready"]["reasons"]:
            printer.line(f"! {one['target']}: {reason}", STYLES.get(one["ready"]["state"], "bad"))
        if (asked := one["ready"]["asked"]) is not None:
            printer.line(f"  {one['target']}: its registry was asked for that image {ago(asked)}", "dim")
        beside = known.get(one["target"])
        for words in beside.words(version_of(one["ready"]["to"]) or "") if beside is not None else ():
            printer.line(f"! {one['target']}: {words}", "warn")
