"""``qd report``: the post-mortem of a rollout, as Markdown or as JSON. It only reads: the journal and, for log lines, hosts."""

import argparse
import os
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.reading import positive_count, rollout_to_read

if TYPE_CHECKING:
    from quarterdeck.rollouts.post_mortem.values import Logs, PostMortem
    from quarterdeck.tui.cli.session import Session

LOG_LINES = 40  # of a host


def declare_report(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "report",
        run=run_report,
        description=(
            "The post-mortem of a rollout, as a Markdown document: what happened in plain words, how long until it showed\n"
            "and until it was well again, a timeline of steps, people and notes, what every host came to, what was\n"
            "measured, what differs between the releases, what protected it and what was set aside, log lines around it,\n"
            "and room for follow-ups. It writes nothing into the journal.\n\n"
            "Log lines are asked of the hosts; one that is away is named, and the report goes on without it. Values of\n"
            "secrets are taken out of them; where a secret can't be read here, no log line is shown."
        ),
        example="qd report 128\nqd report production/api --to incident.md\nqd report 128 --no-logs --json",
    )
    completion.completes(
        parser.add_argument(
            "rollout",
            metavar="ID",
            help="the rollout's number, or a target: the one that is under way there, or the last",
        ),
        completion.rollouts,
    )
    parser.add_argument("--to", metavar="FILE", help="a new file instead of standard output")
    parser.add_argument(
        "--around",
        metavar="TIME",
        type=amount_of_time,
        default=900.0,
        help="how much of what happened before and after is told: 90s, 15m (the default), 2h",
    )
    logs = parser.add_mutually_exclusive_group()
    logs.add_argument(
        "--logs",
        metavar="N",
        type=positive_count,
        default=LOG_LINES,
        help=f"at most so many log lines of each host (default {LOG_LINES})",
    )
    logs.add_argument("--no-logs", action="store_true", help="ask no host")
    parser.add_argument("--ascii", action="store_true", help="charts without Unicode's block characters")


def amount_of_time(text: str) -> float:
    """Seconds, as the fleet file writes them: ``90s``, ``15m``, ``1h30m``, ``90d``."""
    from quarterdeck.config.scalars import Unfit, positive_duration

    try:
        return positive_duration(text)
    except Unfit as unfit:
        why = f" ({unfit})" if str(unfit) else ""
        told = f"{text!r} is no length of time{why}: write 90s, 15m, 2h or 90d"
        raise argparse.ArgumentTypeError(told) from None


def run_report(session: "Session", arguments: argparse.Namespace) -> int:
    import msgspec

    from quarterdeck.rollouts.post_mortem.gathering import gather

    session.read_only = True  # nothing that is only told may be changed by telling it
    rollout = rollout_to_read(session, arguments.rollout)
    if arguments.to is not None and os.path.exists(arguments.to):
        raise UsageError(f"{arguments.to} exists already; it was left as it is")
    found = gather(session.journal, rollout.id, around=arguments.around)
    if not arguments.no_logs:
        found = msgspec.structs.replace(found, logs=_logs(session, found, arguments.logs))
    text = _text(session, found, ascii_only=arguments.ascii or (arguments.to is None and not _has_blocks(session)))
    if arguments.to is not None:
        _write(arguments.to, text)
        session.printer.say(f"written to {arguments.to}")
    elif session.printer.json:
        session.printer.out.write(text)
        session.printer.out.flush()
    else:
        session.printer.block(text)
    return Exit.DONE


def _logs(session: "Session", found: "PostMortem", limit: int) -> "Logs":
    import asyncio

    from quarterdeck.rollouts.post_mortem.logs_around import logs_around

    session.printer.say("asking the hosts for log lines …", "dim")
    return asyncio.run(logs_around(session.fleet, session.journal, found, limit))


def _text(session: "Session", found: "PostMortem", *, ascii_only: bool) -> str:
    if not session.printer.json:
        from quarterdeck.tui.evidence.markdown import markdown

        return markdown(found, session.fleet.name, ascii_only=ascii_only)
    import json

    from quarterdeck.tui.cli.printing import clean_value
    from quarterdeck.tui.evidence.report_value import report_value

    return json.dumps(clean_value(report_value(found, session.fleet.name)), indent=2, ensure_ascii=False) + "\n"


def _has_blocks(session: "Session") -> bool:
    """Whether what is printed to can show them."""
    return "utf" in (getattr(session.printer.out, "encoding", None) or "utf-8").lower()


def _write(path: str, text: str) -> None:
    """For this user only, and never over another file: a report names people and hosts."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; it was left as it is") from None
    except OSError as error:
        raise UsageError(
            f"the report can't be written to {path}: {error.strerror}; name another file with --to"
        ) from error
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
