"""``qd deploy`` and ``qd rollback``: arm, show, confirm, go, follow. What they ask for is done by a detached worker."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, Interrupted, MissingConfirmation, UsageError
from quarterdeck.tui.cli.following import add_waiting_options, ended_sentence, finish
from quarterdeck.tui.cli.parser import OVERRIDES, POLICIES, Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.history.records import Rollout
    from quarterdeck.tui.cli.session import Session


def declare_deploy(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "deploy",
        run=run_deploy,
        changes=True,
        description=(
            "Puts a version of a service on the hosts of a target, the way its strategy says.\n\n"
            "The artifact is resolved and checked, every host is asked, and only then the first one is\n"
            "changed. A host that does not become healthy ends the rollout: everything is taken back\n"
            "(exit status 3). It succeeds when the release was read back from every host and every\n"
            "health check passed. Where as many deploys are under way as the environment takes at once\n"
            "(max_parallel), it waits for its turn. The rollout outlives this terminal: Ctrl-C only stops following it."
        ),
        example=(
            "qd deploy staging/web v2\n"
            "qd deploy production/api v143 --plan\n"
            "qd deploy staging/api --build 812 --wait\n"
            'qd deploy production/api v143 --detach --reason "CHG-812"'
        ),
    )
    completion.completes(parser.add_argument("target", metavar="TARGET", help="as in staging/web"), completion.targets)
    completion.completes(
        parser.add_argument(
            "version", metavar="VERSION", nargs="?", help="the artifact's version, as the fleet file's {version}"
        ),
        completion.versions,
    )
    parser.add_argument(
        "--build",
        metavar="NUMBER",
        default=None,
        help="instead of VERSION: the version that this build made, or `latest`, the newest that has passed",
    )
    parser.add_argument("--plan", action="store_true", help="show steps and blast radius, change nothing")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")
    parser.add_argument(
        "--supersede", action="store_true", help="take the place of a deploy that is under way on the target"
    )
    parser.add_argument("--force", action="store_true", help="ship a release that was marked bad; needs --reason")
    parser.add_argument(
        "--override",
        metavar="POLICY",
        action="append",
        choices=POLICIES,
        default=[],
        help=OVERRIDES,
    )
    add_waiting_options(parser)


def declare_rollback(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "rollback",
        run=run_rollback,
        changes=True,
        description=(
            "Puts the last good release back: artifact, configuration, environment and secrets' references.\n\n"
            "On a terminal it shows what would happen and asks; --yes goes at once. It takes the place of\n"
            "a deploy that is under way, skips pauses and soak times, and never skips health checks.\n"
            "A host that can't be reached is recorded as owed and named; the others are rolled back."
        ),
        example=(
            "qd rollback production/api\n"
            "qd rollback production/api --yes --wait\n"
            "qd rollback production/api --to v141 --plan\n"
            "qd rollback production/api --only web-3 --yes"
        ),
    )
    completion.completes(
        parser.add_argument("target", metavar="TARGET", help="as in production/api"), completion.targets
    )
    completion.completes(
        parser.add_argument("--to", metavar="RELEASE", help="a release's id or version; else the last good one"),
        completion.releases,
    )
    completion.completes(
        parser.add_argument("--only", metavar="HOST", nargs="+", default=[], help="these hosts of the target only"),
        completion.hosts,
    )
    parser.add_argument("--plan", action="store_true", help="show steps and blast radius, change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")
    parser.add_argument("--force", action="store_true", help="go to a release that was marked bad; needs --reason")
    add_waiting_options(parser)


def run_deploy(session: "Session", arguments: argparse.Namespace) -> int:
    if (arguments.version is None) == (arguments.build is None):
        raise UsageError(
            f"say either which version, or which build: qd deploy {arguments.target} VERSION, or --build NUMBER"
        )
    session.start_worker_ahead()
    version, build = arguments.version, None
    if arguments.build is not None:
        from quarterdeck.tui.cli.building import built

        version, build = built(session, session.target(arguments.target), arguments.build)
    rollout = session.control.arm_deploy(
        session.target(arguments.target).name,
        version,
        build=build,
        reason=arguments.reason,
        supersede=arguments.supersede,
        force=arguments.force,
        override=arguments.override,
        detached_go=not arguments.plan,
    )
    if arguments.plan:
        return show_plan(session, rollout.id)
    return finish(session, rollout.id, detach=arguments.detach, timeout=arguments.timeout)


def run_rollback(session: "Session", arguments: argparse.Namespace) -> int:
    if not arguments.yes and not arguments.plan and not session.interactive:
        raise MissingConfirmation("a rollback asks for a confirmation and there is no terminal; give it with --yes")
    session.start_worker_ahead()
    rollout = session.control.arm_rollback(
        session.target(arguments.target).name,
        to=arguments.to,
        reason=arguments.reason,
        only=arguments.only,
        force=arguments.force,
        detached_go=arguments.yes and not arguments.plan,
    )
    if arguments.plan:
        return show_plan(session, rollout.id)
    if not arguments.yes:
        refusal = confirmed(session, rollout.id)
        if refusal is not None:
            return refusal
    return finish(session, rollout.id, detach=arguments.detach, timeout=arguments.timeout)


def show_plan(session: "Session", rollout: int) -> int:
    """The plan of an armed rollout, which is cancelled whatever happens."""
    from quarterdeck.tui.cli import card

    try:
        armed = card.await_plan(session, rollout)
    finally:
        _cancel(session, rollout)
    if armed.plan is None:
        return _no_plan(session, armed)
    shown = _with_commits(session, card.describe(armed, session.journal))
    session.printer.document(shown | {"status": "planned"})
    if not session.printer.json:
        card.show(session.printer, shown, session, steps=True)
        session.printer.line("nothing was changed", "dim")
    return Exit.DONE


def confirmed(session: "Session", rollout: int, question: str = "") -> int | None:
    """Shows the card and asks. None: it may go and has been told so; else the exit status."""
    from quarterdeck.tui.cli import card

    try:
        armed = card.await_plan(session, rollout)
        if armed.plan is None:
            _cancel(session, rollout)
            return _no_plan(session, armed)
        shown = _with_commits(session, card.describe(armed, session.journal))
        card.show(session.printer, shown, session, steps=False)
        agreed = session.ask(question or f"Roll {armed.target} back?")
    except KeyboardInterrupt:
        _cancel(session, rollout)
        raise Interrupted("interrupted before anything was changed") from None
    if agreed:
        session.control.go(rollout, armed.plan_hash)
        return None
    _cancel(session, rollout)
    session.printer.say("qd: not confirmed; nothing was changed")
    return Exit.REFUSED


def _with_commits(session: "Session", shown: dict[str, Any]) -> dict[str, Any]:
    """The card with what git says of the commits between, where it says that at once."""
    if not session.fleet.sources:
        return shown
    from quarterdeck.rollouts.commits import to_value
    from quarterdeck.tui.cli.past import commits_by_now

    return shown | {"commits": to_value(commits_by_now(session, shown["from"], shown["to"]))}


def _cancel(session: "Session", rollout: int) -> None:
    """Ends an armed rollout, and waits a moment for its worker to say so. One that has ended by itself is left alone."""
    from quarterdeck.history.errors import RequestRefused
    from quarterdeck.history.records import ENDED
    from quarterdeck.rollouts.awaiting import await_state
    from quarterdeck.rollouts.refusals import Refused

    try:
        session.control.cancel(rollout)
    except (Refused, RequestRefused):
        return
    await_state(session.journal, rollout, ENDED, 5.0)


def _no_plan(session: "Session", rollout: "Rollout") -> int:
    """It ended, or stands still, before a plan was made."""
    from quarterdeck.history.records import ENDED
    from quarterdeck.rollouts.outcome import result

    now = session.journal.rollout(rollout.id)
    summary = result(session.journal, rollout.id)
    session.printer.document(summary)
    if rollout.state not in ENDED:
        session.printer.say(f"qd: rollout {now.id} was not ready in time and was cancelled; nothing was changed", "bad")
        return Exit.UNREACHABLE
    session.printer.say(f"qd: {ended_sentence(now, summary)}", "bad")
    return int(summary["exit_status"]) or Exit.FAULT
