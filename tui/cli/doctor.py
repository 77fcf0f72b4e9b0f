"""``qd doctor``: tests this machine, every host, router, artifact and secret, and shows a fix for each fault."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.rollouts.doctor.findings import Finding
    from quarterdeck.tui.cli.session import Session

MARKS = {"ok": ("=", "ok"), "warn": ("!", "warn"), "fail": ("x", "bad")}


def declare_doctor(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "doctor",
        run=run_doctor,
        description=(
            "Tests everything that a rollout needs, and changes nothing: the fleet file, the journal and its disk,\n"
            "your rights, whether workers outlive your session; on every host, side by side, the connection, its\n"
            "key, tools, paths, disk and units; on every router its socket or port, rights and configuration; that\n"
            "artifacts and secrets can be read (values are never shown). Each fault comes with its fix.\n"
            "Exit status 0 without a fault, 6 when a host or a router can't be reached, else 1."
        ),
        example="qd doctor\nqd doctor production --json | jq '.findings[] | select(.verdict != \"ok\")'",
    )
    completion.add_target_or_environment(parser, "only")


def run_doctor(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio

    from quarterdeck.history.errors import JournalError
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.doctor.examining import examine
    from quarterdeck.rollouts.logs.merged import open_backend

    names = session.targets(arguments.only)
    journal: Journal | JournalError
    try:
        journal = session.journal
    except JournalError as error:
        journal = error  # the hosts are worth a look all the same
    findings = asyncio.run(
        examine(
            open_backend(session.fleet),
            session.fleet,
            journal,
            session.operator,
            names,
            lambda finding: _show(session, finding),
        )
    )
    faults = [finding for finding in findings if finding.verdict == "fail"]
    session.printer.document(
        {
            "fleet": session.fleet.name,
            "ok": not faults,
            "findings": [
                {
                    "subject": finding.subject,
                    "verdict": str(finding.verdict),
                    "sentence": finding.sentence,
                    "fix": finding.fix,
                }
                for finding in findings
            ],
        }
    )
    return _verdict(session, findings, faults)


def _show(session: "Session", finding: "Finding") -> None:
    mark, style = MARKS[str(finding.verdict)]
    session.printer.line(f"{mark} {finding.subject}: {finding.sentence}", style)
    if finding.fix:
        session.printer.line(f"    fix: {finding.fix}")


def _verdict(session: "Session", findings: Sequence["Finding"], faults: Sequence["Finding"]) -> int:
    warnings = sum(1 for finding in findings if finding.verdict == "warn")
    aside = f", {warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    if not faults:
        session.printer.line(f"{len(findings)} checks, no fault{aside}", "ok")
        return Exit.DONE
    session.printer.say(
        f"qd: {len(findings)} checks, {len(faults)} fault{'s' if len(faults) != 1 else ''}{aside}; nothing was changed",
        "bad",
    )
    return Exit.UNREACHABLE if any(finding.unreachable for finding in faults) else Exit.FAULT
