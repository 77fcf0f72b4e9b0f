"""``qd drill``: practise the rollback of a target, list how old the last drills are, or run those that are due."""

import argparse
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, MissingConfirmation, UsageError
from quarterdeck.tui.cli.following import add_waiting_options, finish
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.times import age, duration

if TYPE_CHECKING:
    from quarterdeck.rollouts.drills.asking import DrillStanding
    from quarterdeck.tui.cli.session import Session


def declare_drill(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "drill",
        run=run_drill,
        description=(
            "Practises a rollback for real: the last good release is put back on every host as qd rollback would, and\n"
            "when it has been read back and is healthy, the release that runs now comes again. How long the way back\n"
            "took is measured, and how often the service did not answer meanwhile. Abort always wins, and whatever goes\n"
            "wrong, the release that ran before comes back (exit status 3).\n\n"
            "It is refused in a freeze, beside another rollout, where hosts do not run what is recorded, and in\n"
            "production unless the fleet file says drills: allowed. Feature flags stay as they are, and hooks are not\n"
            "run; where a rollback would run some, it is refused without --skip-hooks.\n\n"
            "Without a target it lists how long ago each rollback was practised. --due, from cron or a systemd timer\n"
            "(--timer), practises what `drills: {every: 7d, at: Tue 10:00}` of an environment makes due, one after the other."
        ),
        example=(
            "qd drill staging/api\n"
            "qd drill staging/api --plan\n"
            "qd drill\n"
            "qd drill --due --yes\n"
            "qd drill --timer ~/.config/systemd/user"
        ),
    )
    completion.completes(
        parser.add_argument("target", metavar="TARGET", nargs="?", help="as in staging/api, or an environment"),
        completion.targets,
    )
    parser.add_argument("--plan", action="store_true", help="show the steps of the way back, change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")
    parser.add_argument(
        "--skip-hooks", action="store_true", help="also where a rollback would run commands, which a drill never does"
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--due", action="store_true", help="all drills that are due now, of the target, or of all")
    group.add_argument(
        "--timer", metavar="DIRECTORY", help="write a systemd service and timer for --due there, and say what is next"
    )
    add_waiting_options(parser)


def run_drill(session: "Session", arguments: argparse.Namespace) -> int:
    if arguments.timer is not None:
        if session.read_only:
            raise UsageError("--timer writes files: not with --read-only")
        return _write_timer(session, arguments.timer)
    if arguments.due:
        return _run_due(session, arguments)
    if arguments.target is None or arguments.target in session.fleet.environments:
        if arguments.plan or arguments.yes or arguments.skip_hooks or arguments.reason:
            raise UsageError("say which rollback is practised: qd drill TARGET")
        return _list(session, session.targets(arguments.target))
    if not arguments.yes and not arguments.plan and not session.interactive:
        raise MissingConfirmation("a drill asks for a confirmation and there is no terminal; give it with --yes")
    return _practise(session, arguments, session.target(arguments.target).name)


def _practise(session: "Session", arguments: argparse.Namespace, target: str) -> int:
    from quarterdeck.rollouts.drills.asking import arm_drill
    from quarterdeck.tui.cli.releasing import confirmed, show_plan

    session.start_worker_ahead()
    rollout = arm_drill(
        session.control,
        target,
        reason=arguments.reason,
        skip_hooks=arguments.skip_hooks,
        detached_go=arguments.yes and not arguments.plan,
    )
    if arguments.plan:
        return show_plan(session, rollout.id)
    if not arguments.yes:
        refusal = confirmed(session, rollout.id, f"Practise the rollback of {target}, for real?")
        if refusal is not None:
            return refusal
    return finish(session, rollout.id, detach=arguments.detach, timeout=arguments.timeout)


def _list(session: "Session", names: list[str]) -> int:
    found = _standings(session, names)
    printer = session.printer
    printer.document({"fleet": session.fleet.name, "drills": [_value(one) for one in found]})
    if printer.json:
        return Exit.DONE
    printer.table(
        ("TARGET", "LAST GOOD", "BACK IN", "FAILED", "DRILLS"),
        [
            (
                one.target,
                f"{age(one.last.ended)} ago" if one.last is not None else "never",
                duration(one.last.seconds) if one.last is not None else "-",
                f"{one.last.failed} of {one.last.checked}" if one.last is not None else "-",
                _declared(one),
            )
            for one in found
        ],
        ["warn" if one.due else "" if one.last is not None else "dim" for one in found],
    )
    return Exit.DONE


def _standings(session: "Session", names: list[str]) -> "list[DrillStanding]":
    from datetime import UTC, datetime

    from quarterdeck.rollouts.drills.asking import standings

    return standings(session.fleet, session.journal, names, datetime.now(UTC))


def _value(one: "DrillStanding") -> object:
    from quarterdeck.rollouts.drills.asking import value

    return value(one)


def _declared(one: "DrillStanding") -> str:
    if one.refused:
        return one.refused.partition(": ")[2]
    if one.declared.every is None:
        return "by hand"
    at = f" at {one.declared.at.words} {one.declared.zone}" if one.declared.at is not None else ""
    return f"every {duration(one.declared.every)}{at}{', due now' if one.due else ''}"


def _run_due(session: "Session", arguments: argparse.Namespace) -> int:
    """One after the other. One that is refused is told and is no failure: it is due again at its next time."""
    from quarterdeck.rollouts.refusals import Refused

    if session.read_only:
        raise UsageError("a drill changes hosts: not with --read-only")
    if arguments.plan or arguments.detach:
        raise UsageError("--due waits for each drill; --plan and --detach are of a single one")
    if not arguments.yes and not session.interactive:
        raise MissingConfirmation("drills ask for a confirmation and there is no terminal; give it with --yes")
    session.tend()
    due = [one for one in _standings(session, session.targets(arguments.target)) if one.due]
    if not due:
        session.printer.document({"fleet": session.fleet.name, "drills": []})
        session.printer.line("no drill is due")
        return Exit.DONE
    worst: int = Exit.DONE
    for one in due:
        arguments.reason = arguments.reason or "it was due"
        try:
            worst = max(worst, _practise(session, arguments, one.target))
        except Refused as error:
            session.printer.say(f"qd: {error}", "warn")
    return worst


def _write_timer(session: "Session", directory: str) -> int:
    import os
    import sys
    from pathlib import Path

    from quarterdeck.rollouts.drills.timer import FileInTheWay, timer_units, write_units

    program = Path(sys.argv[0]).resolve()
    units = timer_units(
        session.fleet.name, program, session.fleet_path.resolve(), state_home=os.environ.get("XDG_STATE_HOME")
    )
    try:
        written = write_units(Path(directory).expanduser(), units)
    except FileInTheWay as error:
        raise UsageError(f"{error} is there and holds something else; nothing was written") from None
    session.printer.document({"fleet": session.fleet.name, "written": [str(path) for path in written]})
    if session.printer.json:
        return Exit.DONE
    for path in written:
        session.printer.line(f"= written: {path}", "ok")
    name = written[-1].name
    for line in (
        "It looks every quarter of an hour whether a drill is due. To start it, as the user whose SSH keys it is to use:",
        f"  systemctl --user daemon-reload && systemctl --user enable --now {name}",
        "  loginctl enable-linger      # so that it runs while nobody is logged in",
    ):
        session.printer.line(line)
    return Exit.DONE
