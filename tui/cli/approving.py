"""``qd approve`` and ``qd reject``: a word about the plan of a rollout that waits for it."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, MissingConfirmation
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.rollouts.approving import Said, Waiting
    from quarterdeck.tui.cli.session import Session


def declare_approve(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "approve",
        run=run_approve,
        changes=True,
        description=(
            "Agrees to the plan of a deploy that waits for it. The fleet file says who may, and how many must\n"
            "(environments.NAME.approvals); nobody approves what they asked for, unless it says so.\n\n"
            "A canary's step `approval` asks likewise, in the middle: a word counts for that step alone.\n\n"
            "What is agreed to is the plan that is shown: on a terminal it is shown and asked for; --yes takes the one\n"
            "that the rollout has, --plan HASH only the one that was seen, and with it --step N what stands at that step.\n"
            "When the hosts want another plan by the time that enough people have agreed, that one waits anew."
        ),
        example='qd approve 128\nqd approve production/api --plan 3f2a9c1b77e0 --reason "CHG-812"',
    )
    _add_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def declare_reject(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "reject",
        run=run_reject,
        changes=True,
        description=(
            "Says no to a deploy that waits for approvals: it ends, cancelled, and nothing was changed. One that stands at\n"
            "a step of its strategy is taken back. Whoever may approve may reject; who asked for it may also use `qd abort`."
        ),
        example='qd reject 128 --reason "the migration is not reviewed"',
    )
    _add_arguments(parser)


def _add_arguments(parser: Parser) -> None:
    completion.completes(
        parser.add_argument("rollout", metavar="ID", help="the rollout's number, or the target that it waits on"),
        completion.rollouts,
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the history")
    parser.add_argument("--plan", metavar="HASH", default="", help="only this plan (its first 8 characters or more)")
    parser.add_argument("--step", metavar="N", type=int, help="only what stands at this step of the plan")


def run_approve(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.approving import approve

    rollout = session.rollout(arguments.rollout)
    shown = arguments.plan
    step = arguments.step
    if not arguments.yes and not shown:
        if not session.interactive:
            raise MissingConfirmation(
                "an approval asks for a confirmation and there is no terminal; give it with --plan HASH, or --yes"
            )
        agreed = _agreed(session, rollout.id)
        if agreed is None:
            session.printer.say("qd: not confirmed; nothing was said")
            return Exit.REFUSED
        shown, step = rollout.plan_hash, agreed if step is None else step
    return _report(session, approve(session.control, rollout.id, shown, arguments.reason, step=step))


def run_reject(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.approving import reject

    rollout = session.rollout(arguments.rollout)
    return _report(session, reject(session.control, rollout.id, arguments.plan, arguments.reason, step=arguments.step))


def _agreed(session: "Session", rollout: int) -> int | None:
    """Shows the plan, and who asked for it and why, and asks. The step that was agreed to, 0: the beginning; None: no."""
    from quarterdeck.rollouts.approving import waiting_for
    from quarterdeck.rollouts.policy import set_aside
    from quarterdeck.tui.cli import card

    now = session.journal.rollout(rollout)
    waiting = waiting_for(session.journal, now)
    if waiting is None:
        return 0  # it does not wait: what was meant is refused in words
    card.show(session.printer, card.describe(now, session.journal), session, steps=True)
    because = f", because: {now.reason}" if now.reason else ""
    session.printer.progress(f"  by    {now.requested_by}{because}")
    for aside in set_aside(now, session.journal.events(rollout=rollout, kind="override")):
        session.printer.progress(f"  aside {aside}", "warn")
    session.printer.progress(f"  {waiting.words}", "warn")
    what = f"going on at step {waiting.seq} of rollout" if waiting.seq else "rollout"
    return waiting.seq if session.ask(f"Approve {what} {now.id} of {now.target}?") else None


def _report(session: "Session", said: "Said") -> int:
    from quarterdeck.rollouts.approvals import SHOWN_HASH

    now = said.waiting.rollout
    printer = session.printer
    printer.document(
        {
            "rollout": now.id,
            "target": now.target,
            "verdict": said.word.verdict,
            "by": said.word.by,
            "time": said.word.time,
            "reason": said.word.reason,
            "plan_hash": said.word.plan_hash,
            "step": said.word.step or None,
            "status": str(now.state),
            "approvals": waiting_value(said.waiting),
        }
    )
    if said.word.verdict == "rejected":
        after = "it is taken back" if said.word.step else "it ends, nothing was changed"
    elif said.waiting.tally.missing:
        after = f"it {said.waiting.words}"
    else:
        after = f"it {'goes on' if said.word.step else 'begins'}; follow it with: qd watch {now.id}"
    plan = said.word.plan_hash[:SHOWN_HASH] + (f", step {said.word.step}" if said.word.step else "")
    printer.line(f"{said.word.verdict} rollout {now.id} ({now.kind} of {now.target}, plan {plan}): {after}")
    if said.alone:
        how = f"takes it up: qd resume {now.id}" if said.word.step else "runs any qd command"
        printer.say(f"qd: its worker is dead: it goes on when somebody who may deploy {how}", "warn")
    return Exit.DONE


def waiting_value(waiting: "Waiting | None") -> dict[str, Any] | None:
    """Who is waited for, as JSON."""
    from quarterdeck.rollouts.approvals import tally_value

    return None if waiting is None else tally_value(waiting.tally, waiting.rollout, waiting.until, waiting.seq or None)
