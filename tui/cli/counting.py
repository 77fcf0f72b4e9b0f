"""``qd stats``: the four keys of delivery, counted from the journal. It only reads."""

import argparse
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.reporting import amount_of_time

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session

SINCE = 90 * 86400.0  # seconds
BY = ("week", "month", "service", "environment")


def declare_stats(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "stats",
        run=run_stats,
        description=(
            "Deployment frequency, lead time for changes, change failure rate and time to restore (DORA's four keys), of\n"
            "the fleet, an environment, a target or a service. What counts as a failed change, and from when to when\n"
            "times are measured, is written down in docs/stats.md.\n\n"
            "A figure of few values says so; what there is nothing to tell from is a dash, never a zero."
        ),
        example="qd stats production\nqd stats api --by week\nqd stats --since 30d --by service --json",
    )
    completion.completes(
        parser.add_argument(
            "of", metavar="ENV|TARGET|SERVICE", nargs="?", help="only of this environment, target or service"
        ),
        completion.services_and_all_above,
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=amount_of_time,
        default=SINCE,
        help="what ended in the last 12h, 30d (90d without it)",
    )
    parser.add_argument("--by", choices=BY, default=None, help="also of each week, month, service or environment")
    parser.add_argument(
        "--failed-within",
        metavar="TIME",
        type=amount_of_time,
        default=None,
        help="how long after a deploy a rollback makes it a failed one (24h without it)",
    )


def targets_of(session: "Session", name: str | None) -> list[str] | None:
    """Names of targets, None for all. Raises UnknownName with the nearest names."""
    if name is None:
        return None
    if name not in session.fleet.environments and "/" not in name:
        of_service = [target for target, declared in session.fleet.targets.items() if declared.service == name]
        if of_service:
            return of_service
    return session.targets(name)


def run_stats(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio
    from datetime import UTC, datetime, timedelta

    from quarterdeck.history.errors import JournalMissing
    from quarterdeck.rollouts.commits import commit_times
    from quarterdeck.rollouts.four_keys import four_keys
    from quarterdeck.rollouts.statistics import FAILED_WITHIN, judged
    from quarterdeck.tui.evidence.stats_words import HEADERS, cells, remarks, sentences, value

    session.read_only = True  # nothing that is only told may be changed by telling it
    wanted = targets_of(session, arguments.of)
    within = FAILED_WITHIN if arguments.failed_within is None else timedelta(seconds=arguments.failed_within)
    hours = within / timedelta(hours=1)
    try:
        # All of them: where a version was first is told by the targets that are not asked for.
        commits = asyncio.run(commit_times(session.fleet, session.journal.release_commits()))
        found = judged(session.journal.changes(), within=within, commits=commits)
    except JournalMissing:
        found = judged(())
    now = datetime.now(UTC)
    keys = four_keys(found.only(wanted), now - timedelta(seconds=arguments.since), now, by=arguments.by)
    printer = session.printer
    printer.document(value(keys, session.fleet.name, arguments.of, arguments.by, hours))
    printer.line(f"{arguments.of or 'the whole fleet'}, {keys.since:%Y-%m-%d} to {keys.until:%Y-%m-%d} (UTC)", "bold")
    for name, words in sentences(keys):
        printer.line(f"  {name:<22} {words}")
    if keys.groups:
        printer.line()
        rows = [(group.name, *cells(group)) for group in keys.groups]
        styles = ["dim" if not group.deployments else "" for group in keys.groups]
        printer.table((str(arguments.by).upper(), *HEADERS), rows, styles)
    printer.line()
    for remark in remarks(keys, hours):
        printer.line(f"  {remark}", "dim")
    return Exit.DONE
