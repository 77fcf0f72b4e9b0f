"""``qd audit verify``, ``qd audit export`` and ``qd note``: the chain that proves the history, and people's words in it."""

import argparse
import sys
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session


def declare_audit(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "audit",
        run=_no_action,
        description=(
            "Every event of the journal carries the hash of the one before it, and the hosts remember the last\n"
            "hash they were told. What was edited, deleted, moved or cut off is found and named."
        ),
        example="qd audit verify\nqd audit export --format csv > audit.csv",
    )
    parser.set_defaults(run=_no_action)
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", prog="qd audit", parser_class=Parser)
    verify = add_command(
        actions,
        "verify",
        run=run_verify,
        description=(
            "Recomputes the chain of the whole journal and compares it with the anchors that the hosts keep.\n"
            "Exit status 1 when something does not fit. --offline asks no host."
        ),
        example="qd audit verify\nqd audit verify --offline --json",
    )
    verify.add_argument("--offline", action="store_true", help="the chain alone, without the anchors on the hosts")
    export = add_command(
        actions,
        "export",
        run=run_export,
        description="Writes every event, oldest first, as JSON lines or CSV.",
        example="qd audit export --output audit.jsonl\nqd audit export --format csv > audit.csv",
    )
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="jsonl (the default) or csv")
    export.add_argument("--output", metavar="FILE", help="a new file instead of standard output")


def declare_note(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "note",
        run=run_note,
        changes=True,
        description="Writes a note into the timeline, with your name and the time, where the post-mortem will find it.",
        example='qd note "customers report 500s since 14:20" --target production/api',
    )
    parser.add_argument("text", metavar="TEXT", nargs="+", help="the note")
    completion.completes(
        parser.add_argument("--target", metavar="TARGET", help="the target that it is about"), completion.targets
    )
    completion.completes(
        parser.add_argument("--rollout", metavar="ID", type=int, help="the rollout that it is about"),
        completion.rollouts,
    )


def _no_action(_session: "Session", _arguments: argparse.Namespace) -> int:
    raise UsageError("say what to do: qd audit verify, or qd audit export")


def run_verify(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.history.audit import verify

    anchors: list[tuple[str, int, str]] = []
    silent: list[str] = []
    if not arguments.offline:
        import asyncio

        from quarterdeck.rollouts.adopt import read_anchors
        from quarterdeck.rollouts.logs.merged import open_backend

        session.printer.progress("asking the hosts for their anchors …", "dim")
        found = asyncio.run(read_anchors(open_backend(session.fleet), session.fleet, session.journal))
        anchors, silent = found.anchors, found.silent
    report = verify(session.journal, anchors)
    session.printer.document(
        {
            "ok": report.ok,
            "events": report.events,
            "faults": list(report.faults),
            "anchors": [{"where": where, "seq": seq, "hash": hash_} for where, seq, hash_ in anchors],
            "silent": silent,
        }
    )
    for fault in report.faults:
        session.printer.line(f"x {fault}", "bad")
    for text in silent:
        session.printer.say(f"? {text}", "warn")
    how = "no anchors were asked for" if arguments.offline else f"compared with {len(anchors)} anchors on the hosts"
    if report.ok:
        session.printer.line(f"= {report.events} events, the chain holds; {how}", "ok")
        return Exit.DONE
    count = f"{len(report.faults)} fault{'s' if len(report.faults) != 1 else ''}"
    session.printer.say(f"qd: the history does not hold: {count} in {report.events} events; {how}", "bad")
    return Exit.FAULT


def run_export(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.history.audit import export

    chosen = "jsonl" if session.printer.json else arguments.format
    if arguments.output is None:
        export(session.journal, sys.stdout, format=chosen)
        sys.stdout.flush()
        return Exit.DONE
    try:
        with open(arguments.output, "x", encoding="utf-8", newline="") as file:
            export(session.journal, file, format=chosen)
    except FileExistsError:
        raise UsageError(f"{arguments.output} exists already; it was left as it is") from None
    session.printer.say(f"written to {arguments.output}")
    return Exit.DONE


def run_note(session: "Session", arguments: argparse.Namespace) -> int:
    text = " ".join(arguments.text).strip()
    if not text:
        raise UsageError("the note is empty")
    target = session.target(arguments.target).name if arguments.target else None
    if arguments.rollout is not None:
        rollout = session.journal.rollout(arguments.rollout)
        target = target or rollout.target
    event = session.control.note(text, target=target, rollout=arguments.rollout)
    session.printer.document(
        {
            "seq": event.seq,
            "time": event.time,
            "by": event.who,
            "target": target,
            "rollout": arguments.rollout,
            "text": text,
        }
    )
    session.printer.line(f"noted as event {event.seq}, by {event.who}")
    return Exit.DONE
