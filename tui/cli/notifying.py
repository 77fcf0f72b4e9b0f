"""``qd notify`` and ``qd notify test``: who is told of what by the fleet file, and whether a message gets there."""

import argparse
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.config.notifications import Destination
    from quarterdeck.tui.cli.session import Session


def declare_notify(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "notify",
        run=run_notify,
        description=(
            "Lists whom the fleet file's `notify` tells of what, each by its number there. URLs are not shown: that\n"
            "of most services is its password. Sent is by the worker of a rollout, beside it: no service holds one\n"
            "up. What came of each message stands in `qd show`."
        ),
        example="qd notify\nqd notify test 2",
    )
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", prog="qd notify", parser_class=Parser)
    test = add_command(
        actions,
        "test",
        run=run_test,
        changes=True,
        description=(
            "Sends a test message to each destination, now, and says what its service made of it. Nothing is\n"
            "journalled. Exit status 1 when one of them was not taken.\n\n"
            "URLs are found as a worker finds them, in this shell's environment."
        ),
        example="qd notify test\nqd notify test 1 3 --json",
    )
    test.add_argument("numbers", metavar="NUMBER", nargs="*", type=int, help="of the list; else all of them")


def run_notify(session: "Session", _arguments: argparse.Namespace) -> int:
    listed: tuple[Destination, ...] = session.fleet.notify
    session.printer.document({"fleet": session.fleet.name, "notify": [_value(one) for one in listed]})
    if not listed:
        session.printer.line("nobody is told of anything: the fleet file has no `notify`")
        return Exit.DONE
    session.printer.table(
        ("NUMBER", "TO", "ON", "ABOUT"),
        [
            (f"{one.number} {one.name}".rstrip(), _where(one), ", ".join(one.on) or "steps", _about(one))
            for one in listed
        ],
    )
    return Exit.DONE


def run_test(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio

    from quarterdeck.rollouts.refusals import Refused
    from quarterdeck.rollouts.rehearsing import rehearse
    from quarterdeck.rollouts.roles import may_change

    fleet = session.fleet
    if not fleet.notify:
        raise UsageError("the fleet file has no `notify`: there is nobody to tell anything")
    unknown = [number for number in arguments.numbers if not 1 <= number <= len(fleet.notify)]
    if unknown:
        raise UsageError(
            f"there is no destination {unknown[0]}: the fleet file has {len(fleet.notify)}; see: qd notify"
        )
    if not may_change(fleet.operators, session.operator):
        raise Refused(
            f"{session.operator.name} may not send anything in fleet {fleet.name}",
            "the fleet file's operators.deploy says who may",
        )
    tried = asyncio.run(rehearse(fleet, arguments.numbers, session.operator))
    session.printer.document(
        {
            "fleet": fleet.name,
            "notify": [
                {
                    "number": one.number,
                    "service": one.service or None,
                    "taken": not one.problem,
                    "problem": one.problem or None,
                }
                for one in tried
            ],
        }
    )
    for one in tried:
        service = f" ({one.service})" if one.service else ""
        if one.problem:
            session.printer.line(f"x notify {one.number}{service}: not told: {one.problem}", "bad")
        else:
            session.printer.line(f"= notify {one.number}{service}: its service took the message", "ok")
    return Exit.FAULT if any(one.problem for one in tried) else Exit.DONE


def _where(one: "Destination") -> str:
    """Without what a URL may have behind its host."""
    if one.secret is not None:
        return f"{one.secret.kind}: {one.secret.source}"
    parts = urlsplit(one.url)
    return f"{parts.scheme}://{parts.netloc}{'/…' if parts.path.strip('/') or parts.query else ''}"


def _about(one: "Destination") -> str:
    parts = [", ".join(names) for names in (one.environments, one.services) if names is not None]
    return " / ".join(parts) or "everything"


def _value(one: "Destination") -> dict[str, Any]:
    return {
        "number": one.number,
        "name": one.name or None,
        "to": _where(one),
        "on": list(one.on),
        "environments": list(one.environments) if one.environments is not None else None,
        "services": list(one.services) if one.services is not None else None,
    }
