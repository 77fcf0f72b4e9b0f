"""``qd ready``: whether every target can be rolled back right now, where that leads, how long it takes, and what is in the way."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.times import age, duration

if TYPE_CHECKING:
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
            "are ready, for a pipeline or a monitor."
        ),
        example="qd ready\nqd ready production --strict\nqd ready production/api --json",
    )
    completion.add_target_or_environment(parser, "only")
    parser.add_argument("--cached", action="store_true", help="ask no host: what the journal knows")
    parser.add_argument("--strict", action="store_true", help="exit status 1 unless every way back is ready")


def run_ready(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.status import status
    from quarterdeck.tui.cli.status import look

    names = session.targets(arguments.only)
    session.tend()
    if not arguments.cached:
        look(session, names)
    found = [one for one in status(session.fleet, session.journal, only=arguments.only)["targets"] if one["release"]]
    found.sort(key=lambda one: _WORST.get(one["ready"]["state"], 0))
    printer = session.printer
    printer.document({"fleet": session.fleet.name, "targets": [_value(one) for one in found]})
    if not printer.json:
        if not found:
            printer.line("nothing has been released yet")
        else:
            _show(session, found)
    unready = any(one["ready"]["state"] != "ready" for one in found)
    return Exit.FAULT if arguments.strict and unready else Exit.DONE


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
        "hosts": hosts,
    }


def _show(session: "Session", found: "list[dict[str, Any]]") -> None:
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
