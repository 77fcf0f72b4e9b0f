"""``qd adopt``: rebuilds releases, verdicts and fences from the hosts, after the journal was lost or on a new bastion."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.rollouts.adopt import AdoptedTarget
    from quarterdeck.tui.cli.session import Session


def declare_adopt(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "adopt",
        run=run_adopt,
        changes=True,
        description=(
            "Every host carries the manifests of its releases, which of them proved themselves, and the highest\n"
            "fence it has seen. This reads them all and rebuilds what the journal should know, so that a rollback\n"
            "works again after the bastion was lost. It changes no host; doing it again changes nothing.\n"
            "Exit status 6 when no host at all could be asked."
        ),
        example="qd adopt\nqd adopt production --json",
    )
    completion.add_target_or_environment(parser, "only")


def run_adopt(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio

    from quarterdeck.rollouts.adopt import adopt
    from quarterdeck.rollouts.logs.merged import open_backend
    from quarterdeck.rollouts.refusals import Refused
    from quarterdeck.rollouts.roles import may_change

    if not may_change(session.fleet.operators, session.operator):
        raise Refused(
            f"{session.operator.name} may not change anything in fleet {session.fleet.name}",
            "the fleet file's operators.deploy says who may",
        )
    names = session.targets(arguments.only)
    found = asyncio.run(adopt(open_backend(session.fleet), session.fleet, session.journal, names))
    session.printer.document({"fleet": session.fleet.name, "targets": [_value(one) for one in found]})
    session.printer.table(
        ("TARGET", "CURRENT", "PREVIOUS", "RELEASES", "FENCE", "JOURNAL"),
        [
            (
                one.target,
                one.current or "-",
                one.previous or "-",
                str(len(one.releases)),
                str(one.epoch),
                "adopted" if one.changed else "as it was",
            )
            for one in found
        ],
    )
    for one in found:
        for text in one.disagreements:
            session.printer.line(f"~ {one.target}: {text}", "warn")
    silent = sorted({text for one in found for text in one.silent})
    for text in silent:
        session.printer.say(f"? {text}", "bad")
    hosts = {host.name for name in names for host in session.fleet.targets[name].hosts}
    unheard = {text.partition(":")[0] for text in silent}
    if hosts and hosts <= unheard:
        session.printer.say("qd: no host could be asked; nothing was adopted", "bad")
        return Exit.UNREACHABLE
    return Exit.DONE


def _value(one: "AdoptedTarget") -> dict[str, Any]:
    return {
        "target": one.target,
        "current": one.current,
        "previous": one.previous,
        "releases": list(one.releases),
        "epoch": one.epoch,
        "changed": one.changed,
        "disagreements": list(one.disagreements),
        "silent": list(one.silent),
    }
