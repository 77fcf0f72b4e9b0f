"""``qd flag``: how many get what a feature flag lets through, and the kill switch."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.rollouts.flags import FlagSeen
    from quarterdeck.tui.cli.session import Session


def declare_flag(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "flag",
        run=run_flag,
        description=(
            "Reads the fleet file's feature flags where they are, and shows how many percent get each.\n\n"
            "qd flag NAME off --reason TEXT is the kill switch: nobody gets it any more, whatever was set there. It is\n"
            "journalled, and takes the right to deploy. A rollout that sets the flag goes no further, and is taken\n"
            "back when it would; no rollout puts up again what was switched off. Up goes a flag by the steps of a\n"
            "deploy alone."
        ),
        example='qd flag\nqd flag checkout off --reason "INC-77: carts are lost"\nqd flag --json | jq ".flags[].reaches"',
    )
    completion.completes(parser.add_argument("name", metavar="NAME", nargs="?", help="else all"), completion.flags)
    parser.add_argument("word", metavar="off", nargs="?", choices=("off",), help="switch it off, now")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")


def run_flag(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio

    from quarterdeck.rollouts.flags import AtOnce, goes_no_further, off_words, read_flags, turn_off, under_way
    from quarterdeck.rollouts.logs.merged import open_backend

    name = arguments.name
    backend = open_backend(session.fleet)
    if arguments.word == "off":
        if session.read_only:
            raise UsageError("a flag is switched off without --read-only")
        desk = AtOnce(session.control)
        changed = asyncio.run(turn_off(desk, backend, session.fleet, name, arguments.reason))
        session.printer.progress(off_words(name, changed))
        active = under_way(session.fleet, session.journal, name)
        if active is not None:
            session.printer.progress(goes_no_further(active), "warn")
    elif arguments.reason:
        raise UsageError("a reason is for switching it off: qd flag NAME off --reason TEXT")
    seen = asyncio.run(read_flags(backend, session.fleet, [name] if name is not None else None))
    return _show(session, seen)


def _show(session: "Session", seen: "list[FlagSeen]") -> int:
    printer = session.printer
    printer.document({"fleet": session.fleet.name, "flags": [_value(one) for one in seen]})
    if not seen:
        printer.line("the fleet file has no `flags`")
        return Exit.DONE
    printer.table(
        ("FLAG", "AT", "SET BY", "WHERE"),
        [
            (
                one.name,
                one.state.words if one.state is not None else "unknown",
                one.target or "-",
                one.place.removeprefix(f"flag {one.name} "),
            )
            for one in seen
        ],
        ["bad" if one.state is None else "warn" if one.state.problems else "" for one in seen],
    )
    for one in seen:
        for problem in one.state.problems if one.state is not None else ():
            printer.say(f"qd: {one.name}: {problem}", "warn")
        if one.error:
            printer.say(f"qd: {one.error}", "bad")
    if any(one.error for one in seen):
        return Exit.UNREACHABLE if any(one.unreachable for one in seen) else Exit.FAULT
    return Exit.DONE


def _value(one: "FlagSeen") -> dict[str, Any]:
    state = one.state
    return {
        "flag": one.name,
        "place": one.place,
        "target": one.target,
        "percent": state.percent if state is not None else None,
        "enabled": state.enabled if state is not None else None,
        "reaches": state.reaches if state is not None else None,
        "problems": list(state.problems) if state is not None else [],
        "error": one.error or None,
    }
