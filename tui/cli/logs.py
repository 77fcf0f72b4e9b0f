"""``qd logs``: the logs of a target from all its hosts, merged, one line each with its host's name."""

import argparse
import asyncio
import re
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.reading import positive_count

if TYPE_CHECKING:
    from quarterdeck.rollouts.logs.merged import Entry
    from quarterdeck.tui.cli.session import Session


def declare_logs(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "logs",
        run=run_logs,
        description=(
            "The logs of a target, from all of its hosts at once, merged by time: those that the fleet file declares\n"
            "(a systemd unit's journal, or files), of a container what it prints. A host that can't be reached is named\n"
            "once; the others go on. What a failed release's container said last has the release before each line."
        ),
        example="qd logs production/api --follow --grep ERROR\nqd logs production/api --host web-1 --lines 50 --json",
    )
    completion.completes(
        parser.add_argument("target", metavar="TARGET", help="as in production/api"), completion.targets
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument(
        "-n",
        "--lines",
        metavar="N",
        type=positive_count,
        default=100,
        help="the last N lines of each host (default 100)",
    )
    parser.add_argument("--grep", metavar="REGEX", type=_pattern, help="only lines that match")
    completion.completes(
        parser.add_argument(
            "--host", metavar="HOST", action="append", default=[], help="this host only; may be given again"
        ),
        completion.hosts,
    )


def _pattern(text: str) -> "re.Pattern[str]":
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def run_logs(session: "Session", arguments: argparse.Namespace) -> int:
    session.target(arguments.target)
    try:
        return asyncio.run(_show(session, arguments))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def _show(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.logs.merged import chosen_hosts, open_backend, read_logs

    target = session.target(arguments.target)
    silent: set[str] = set()
    entries = read_logs(
        open_backend(session.fleet),
        session.journal,
        target,
        lines=arguments.lines,
        follow=arguments.follow,
        only=arguments.host,
    )
    try:
        async for entry in entries:
            _show_entry(session, entry, arguments.grep, silent)
    finally:
        await entries.aclose()
    return Exit.UNREACHABLE if len(silent) == len(chosen_hosts(target, arguments.host)) else Exit.DONE


def _show_entry(session: "Session", entry: "Entry", grep: "re.Pattern[str] | None", silent: set[str]) -> None:
    from quarterdeck.rollouts.logs.merged import Back, Silent

    printer = session.printer
    match entry:
        case Silent(host, reason):
            silent.add(host)
            printer.say(f"? {host}: {reason.removeprefix(f'{host}: ')}", "warn")
        case Back(host):
            silent.discard(host)
            printer.say(f"= {host} is back", "ok")
        case _:
            if grep is not None and not grep.search(entry.text):
                return
            if entry.dropped:
                printer.say(
                    f"! {entry.host}: {entry.dropped} lines were lost here: they came faster than they were read",
                    "warn",
                )
            printer.record({"time": entry.time, "host": entry.host, "text": entry.text})
            printer.line(f"{entry.host:<12} {entry.text}")
