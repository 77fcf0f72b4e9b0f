"""``qd freeze`` and ``qd unfreeze``: when no release goes out to an environment, by the fleet file or by hand."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.rollouts.freezes import Window
    from quarterdeck.rollouts.frozen import Standing
    from quarterdeck.tui.cli.session import Session


def declare_freeze(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "freeze",
        run=run_freeze,
        description=(
            "Shows what freezes each environment now, until when, and what will next: the windows of the fleet file\n"
            "(environments.NAME.freezes) and what was frozen by hand.\n\n"
            "With --reason it freezes an environment from now on: no deploy begins there until --until, --for, or\n"
            "until `qd unfreeze`. What is under way goes on, and a rollback is never blocked. A deploy that must go\n"
            "out all the same: qd deploy … --override freeze --reason TEXT."
        ),
        example=(
            "qd freeze\n"
            'qd freeze production --for 4h --reason "INC-77 is not understood yet"\n'
            'qd freeze production --until "2026-12-24 12:00" --reason stock-taking\n'
            "qd freeze --json | jq '.environments[] | select(.now) | .environment'"
        ),
    )
    completion.completes(
        parser.add_argument("environment", metavar="ENV", nargs="?", help="else every environment"),
        completion.environments,
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="freeze it now, for this reason")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--for", dest="lasts", metavar="DURATION", help="for so long, as in 30m, 4h, 2d")
    how.add_argument("--until", metavar="TIME", help='until then: "2026-12-24 12:00"')
    parser.add_argument("--zone", metavar="ZONE", default="UTC", help="whose clocks --until goes by (default UTC)")


def declare_unfreeze(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "unfreeze",
        run=run_unfreeze,
        changes=True,
        description=(
            "Ends what was frozen by hand with `qd freeze`. The windows of the fleet file end by themselves, or are\n"
            "changed there."
        ),
        example='qd unfreeze production --reason "INC-77 is closed"',
    )
    completion.completes(parser.add_argument("environment", metavar="ENV"), completion.environments)
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")


def run_freeze(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.freezing import freeze

    if arguments.reason or arguments.lasts or arguments.until:
        if session.read_only:
            raise UsageError("a freeze is made without --read-only")
        if arguments.environment is None:
            raise UsageError("say which environment is to be frozen: qd freeze ENV --reason TEXT")
        made = freeze(session.control, arguments.environment, _until(arguments), arguments.reason)
        session.printer.progress(f"froze {made.environment}")
    return _show(session, arguments.environment)


def run_unfreeze(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.freezing import end_freezes

    ended = end_freezes(session.control, arguments.environment, arguments.reason)
    for one in ended:
        session.printer.progress(f"ended the freeze of {one.environment} by {one.by}: {one.reason}")
    return _show(session, arguments.environment)


def _until(arguments: argparse.Namespace) -> datetime | None:
    from quarterdeck.config import freeze_reading, scalars

    try:
        if arguments.lasts:
            return datetime.now(UTC) + timedelta(seconds=scalars.positive_duration(arguments.lasts))
        if not arguments.until:
            return None
        zone = freeze_reading.zone(arguments.zone)
        edge = freeze_reading.edge(arguments.until)
    except scalars.Unfit as unfit:
        near = f"; did you mean {unfit.nearest}?" if unfit.nearest else ""
        told = " ".join(filter(None, (arguments.lasts, arguments.until, arguments.zone if arguments.until else "")))
        form = (
            "--for takes 30m, 4h, 2d"
            if arguments.lasts
            else '--until takes a day, "2026-12-24", or with a time, "2026-12-24 12:00"'
        )
        raise UsageError(f"{told!r} can't be read{f': {unfit}' if str(unfit) else ''}{near or f'; {form}'}") from None
    if edge.day is None:
        raise UsageError(f"{arguments.until!r} comes every week: write a day, as in 2026-12-24 12:00")
    from quarterdeck.config.freezes import ends_at
    from quarterdeck.rollouts.freezes import last_instant, zone_of

    midnight = datetime(edge.day.year, edge.day.month, edge.day.day)
    return last_instant(midnight + timedelta(minutes=ends_at(edge)), zone_of(zone))


def _show(session: "Session", environment: str | None) -> int:
    from quarterdeck.rollouts.frozen import standings

    environments = session.fleet.environments
    if environment is not None:
        if environment not in environments:
            raise UsageError(f"there is no environment {environment!r}; there is {', '.join(environments)}")
        environments = {environment: environments[environment]}
    found = standings(environments, _made(session), datetime.now(UTC))
    session.printer.document({"fleet": session.fleet.name, "environments": [_value(one) for one in found.values()]})
    session.printer.table(
        ("ENVIRONMENT", "NOW", "NEXT"),
        [(name, one.now.words if one.now is not None else "not frozen", _next(one)) for name, one in found.items()],
        ["warn" if one.now is not None else "" for one in found.values()],
    )
    return Exit.DONE


def _made(session: "Session") -> list[Any]:
    """What was frozen by hand; nothing where there is no journal yet."""
    from quarterdeck.history.errors import JournalMissing

    try:
        return list(session.journal.made_freezes())
    except JournalMissing:
        return []


def _next(one: "Standing") -> str:
    from quarterdeck.rollouts.freezes import in_zone

    if one.next is None:
        return "-"
    reason = f": {one.next.reason}" if one.next.reason else ""
    return f"from {in_zone(one.next.start, one.next.zone)}{reason}"


def _value(one: "Standing") -> dict[str, Any]:
    from quarterdeck.rollouts.frozen import iso, window_value

    def value(window: "Window | None") -> dict[str, Any] | None:
        return None if window is None else window_value(window)

    now = None
    if one.now is not None:
        now = {
            "until": iso(one.now.until),
            "zone": one.now.zone,
            "reason": one.now.reason,
            "windows": [value(window) for window in one.now.windows],
        }
    return {"environment": one.environment, "frozen": now is not None, "now": now, "next": value(one.next)}
