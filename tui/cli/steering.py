"""``qd pause``, ``resume``, ``promote``, ``skip``, ``abort`` and ``retry``: wishes for a running rollout; the answer says what they were
acted on."""

import argparse
import time
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, Interrupted, UsageError
from quarterdeck.tui.cli.following import add_waiting_options, finish
from quarterdeck.tui.cli.parser import OVERRIDES, POLICIES, Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.history.records import Request, Rollout
    from quarterdeck.tui.cli.session import Session

HELD = 2.0  # seconds from that answer to the state that it speaks of, on a machine with much to do
ANSWER = 5.0  # seconds that a wish's answer is waited for: a live worker takes a fraction of one


def _add(
    commands: "argparse._SubParsersAction[Parser]",
    name: str,
    run: str,
    description: str,
    *,
    waits: bool,
    example: str = "",
) -> Parser:
    parser = add_command(
        commands,
        name,
        run=globals()[run],
        changes=True,
        description=description,
        example=example or f"qd {name} 128\nqd {name} production/api",
    )
    completion.completes(
        parser.add_argument(
            "rollout", metavar="ID", help="the rollout's number, or the target that it is under way on"
        ),
        completion.rollouts,
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")
    if waits:
        add_waiting_options(parser)
    return parser


def declare_pause(commands: "argparse._SubParsersAction[Parser]") -> None:
    _add(
        commands,
        "pause",
        "run_pause",
        "Holds a running rollout once the steps that have begun are done. Nothing is taken back: hosts that\n"
        "were changed keep the new release until the rollout is resumed or aborted.",
        waits=False,
    )


def declare_resume(commands: "argparse._SubParsersAction[Parser]") -> None:
    _add(
        commands,
        "resume",
        "run_resume",
        "Lets a paused rollout go on, or gives a rollout whose worker died a new worker, which looks at what\n"
        "every host says before it does anything.",
        waits=True,
    )


def declare_promote(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _add(
        commands,
        "promote",
        "run_promote",
        "Ends the pause, or the bake, that a rollout waits in: the next step of its strategy begins. Nothing is\n"
        "skipped that protects: the hosts that have the release are read back first.\n\n"
        "With --to it deploys what runs on a target to the same service in another environment: the same version\n"
        "by the same digest, with that environment's configuration. Nothing is built anew.",
        waits=True,
        example="qd promote 128\nqd promote production/api --full\nqd promote staging/api --to production",
    )
    parser.add_argument("--full", action="store_true", help="leave out the pauses to come as well")
    completion.completes(
        parser.add_argument("--to", metavar="ENVIRONMENT", help="where to deploy what runs on the target"),
        completion.environments,
    )
    parser.add_argument(
        "--override",
        metavar="POLICY",
        action="append",
        choices=POLICIES,
        default=[],
        help=f"with --to: {OVERRIDES}",
    )
    parser.add_argument(
        "--supersede", action="store_true", help="with --to: take the place of a deploy that is under way there"
    )
    parser.add_argument(
        "--force", action="store_true", help="with --to: ship a release that was marked bad there; needs --reason"
    )


def declare_skip(commands: "argparse._SubParsersAction[Parser]") -> None:
    _add(
        commands,
        "skip",
        "run_skip",
        "Lets a rollout that stands still go on without the step that failed. A host that could not be moved is\n"
        "left as it is, and owed: qd retry brings it to what the others run.",
        waits=True,
    )


def declare_abort(commands: "argparse._SubParsersAction[Parser]") -> None:
    _add(
        commands,
        "abort",
        "run_abort",
        "Stops a rollout and takes it back to what ran before. It always wins: over pauses, gates, an unhealthy\n"
        "release, a dead worker.",
        waits=True,
    )


def declare_retry(commands: "argparse._SubParsersAction[Parser]") -> None:
    _add(
        commands,
        "retry",
        "run_retry",
        "Tries the failed step of a paused rollout again; of a rollout that has ended, does again what it could\n"
        "not do: the hosts that it still owes, or all of it.",
        waits=True,
    )


def run_pause(session: "Session", arguments: argparse.Namespace) -> int:
    rollout = session.rollout(arguments.rollout)
    from quarterdeck.history.records import ENDED, RolloutState
    from quarterdeck.rollouts.awaiting import await_state

    answered = _answered(session, session.control.ask(rollout.id, "pause", arguments=_reason(arguments)))
    if answered.state == "done":  # its state is journalled right after the answer
        await_state(session.journal, rollout.id, {*ENDED, RolloutState.PAUSED}, HELD)
    return _report(session, rollout, answered)


def run_resume(session: "Session", arguments: argparse.Namespace) -> int:
    rollout = session.rollout(arguments.rollout)
    before = session.journal.head()[0]
    now = session.control.resume(rollout.id, arguments.reason)
    session.printer.progress(f"resuming {_named(rollout)}")
    asked = [request for request in session.journal.requests(now.id) if request.kind == "resume"]
    if arguments.detach and asked:
        _answered(session, asked[-1])  # what is told next is how it is afterwards
    return _finish(session, now, arguments, before)


def run_promote(session: "Session", arguments: argparse.Namespace) -> int:
    if arguments.to is not None:
        return _to_another_environment(session, arguments)
    for option in ("override", "supersede", "force"):
        if getattr(arguments, option):
            raise UsageError(f"--{option} is about a promotion to another environment: it needs --to")
    rollout = session.rollout(arguments.rollout)
    before = session.journal.head()[0]
    request = session.control.promote(rollout.id, full=arguments.full, reason=arguments.reason)
    answered = _answered(session, request)
    if arguments.detach or answered.state == "refused":
        return _report(session, rollout, answered)
    session.printer.progress(f"promoting {_named(rollout)}")
    return _finish(session, rollout, arguments, before)


def _to_another_environment(session: "Session", arguments: argparse.Namespace) -> int:
    if arguments.full:
        raise UsageError("--full is about a rollout that waits; it has no meaning with --to")
    environments = session.fleet.environments
    if arguments.to not in environments:
        raise UsageError(f"there is no environment {arguments.to!r}; there are {', '.join(environments)}")
    session.start_worker_ahead()
    rollout = session.control.arm_promotion(
        session.target(arguments.rollout).name,
        arguments.to,
        reason=arguments.reason,
        override=arguments.override,
        supersede=arguments.supersede,
        force=arguments.force,
        detached_go=True,
    )
    return finish(session, rollout.id, detach=arguments.detach, timeout=arguments.timeout)


def run_skip(session: "Session", arguments: argparse.Namespace) -> int:
    rollout = session.rollout(arguments.rollout)
    before = session.journal.head()[0]
    answered = _answered(session, session.control.skip(rollout.id, arguments.reason))
    if arguments.detach or answered.state == "refused":
        return _report(session, rollout, answered)
    session.printer.progress(f"going on with {_named(rollout)}")
    return _finish(session, rollout, arguments, before)


def run_abort(session: "Session", arguments: argparse.Namespace) -> int:
    rollout = session.rollout(arguments.rollout)
    before = session.journal.head()[0]
    request = session.control.ask(rollout.id, "abort", arguments=_reason(arguments))
    if arguments.detach:
        return _report(session, rollout, _answered(session, request))
    session.printer.progress(f"aborting {_named(rollout)}")
    try:
        _say_when_it_hangs(session, rollout.id)
    except KeyboardInterrupt:
        told = f"interrupted; the abort was asked for, and goes on. Follow it with: qd watch {rollout.id}"
        raise Interrupted(told) from None
    # An abort that ends in everything taken back is what was asked for; the rollout itself still counts as status 3.
    return _finish(session, rollout, arguments, before)


def _say_when_it_hangs(session: "Session", rollout: int) -> None:
    """A worker that lives and does not answer is never ended behind anybody's back: whoever waits for it learns what to do."""
    from quarterdeck.history.lease import lock_is_held
    from quarterdeck.history.records import ENDED, RolloutKind, RolloutState
    from quarterdeck.rollouts.awaiting import await_state

    taken_up = {*ENDED, RolloutState.ABORTING, RolloutState.ROLLING_BACK}
    if await_state(session.journal, rollout, taken_up, ANSWER) is not None:
        return
    now = session.journal.rollout(rollout)
    if now.pid is None or not lock_is_held(session.journal.state, rollout):
        return  # a new worker is on its way
    way_on = f"end it (kill -9 {now.pid}), and a new one goes on"
    if now.kind is RolloutKind.DEPLOY:
        way_on = f"to go back without it: qd rollback {now.target}; or {way_on}"
    session.printer.say(
        f"qd: the worker of rollout {rollout} (process {now.pid}) has not answered for {ANSWER:g} s, it may hang; {way_on}",
        "warn",
    )


def run_retry(session: "Session", arguments: argparse.Namespace) -> int:
    rollout = session.rollout(arguments.rollout)
    now = session.control.retry(rollout.id, arguments.reason)
    session.printer.progress(f"retrying {_named(rollout)}" + (f" as rollout {now.id}" if now.id != rollout.id else ""))
    return _finish(session, now, arguments, 0)


def _finish(session: "Session", rollout: "Rollout", arguments: argparse.Namespace, after: int) -> int:
    return finish(
        session, rollout.id, detach=arguments.detach, timeout=arguments.timeout, after=after, worker_comes=True
    )


def _reason(arguments: argparse.Namespace) -> dict[str, str]:
    return {"reason": arguments.reason} if arguments.reason else {}


def _named(rollout: "Rollout") -> str:
    to = f" to {rollout.to_release}" if rollout.to_release else ""
    return f"rollout {rollout.id} ({rollout.kind} of {rollout.target}{to})"


def _answered(session: "Session", request: "Request") -> "Request":
    """The request once it was answered, or as it is after a few seconds."""
    deadline = time.monotonic() + ANSWER
    version = -1
    while time.monotonic() < deadline:
        now_version = session.journal.data_version()
        if now_version != version:
            version = now_version
            request = session.journal.request(request.id)
            if request.state != "open":
                break
        time.sleep(0.01)
    return request


def _report(session: "Session", rollout: "Rollout", request: "Request") -> int:
    now = session.journal.rollout(rollout.id)
    session.printer.document(
        {
            "request": request.id,
            "kind": request.kind,
            "state": request.state,
            "answer": request.answer,
            "rollout": now.id,
            "target": now.target,
            "status": str(now.state),
            "by": request.by,
            "time": request.time,
        }
    )
    answer = f": {request.answer}" if request.answer else ""
    state = now.state.words
    match request.state:
        case "done":
            session.printer.line(f"{request.kind} of {_named(now)}{answer}; it is {state}")
            return Exit.DONE
        case "refused":
            session.printer.say(f"qd: {request.kind} of {_named(now)} was refused{answer}; it is {state}", "bad")
            return Exit.REFUSED
    session.printer.line(
        f"{request.kind} was asked of {_named(now)}, not answered yet; it is {state}; follow it with: qd watch {now.id}"
    )
    return Exit.DONE
