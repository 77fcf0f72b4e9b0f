"""``qd env setup HOST``: shows what a host lacks for a first deploy, asks, makes what may be made, prints what is root's, reads back."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli.exits import Exit, MissingConfirmation, UsageError
from quarterdeck.tui.cli.parser import Parser

if TYPE_CHECKING:
    from quarterdeck.config.model import Fleet, Target
    from quarterdeck.rollouts.setting_up.hosts import HostNeeds, Made, Need
    from quarterdeck.tui.cli.session import Session


def declare_host_options(parser: Parser) -> None:
    group = parser.add_argument_group("options for a HOST")
    group.add_argument("--plan", action="store_true", help="only show what is missing and what would be done")
    group.add_argument("--yes", action="store_true", help="do it without asking")
    group.add_argument("--sudo", action="store_true", help="also run the commands of root, by sudo, each shown before")
    group.add_argument("--make", action="store_true", help="also make external networks and volumes that are missing")


def unknown_host_or_environment(fleet: "Fleet", name: str) -> UsageError:
    import difflib

    near = difflib.get_close_matches(name, [*fleet.environments, *fleet.hosts], n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"hosts: {', '.join(fleet.hosts)}"
    return UsageError(f"there is no host and no environment {name!r}; {hint}")


def run_host_setup(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio

    from quarterdeck.config.names import UnknownName
    from quarterdeck.rollouts.logs.merged import open_backend
    from quarterdeck.rollouts.setting_up.hosts import By, look, targets_on

    fleet, printer, name = session.fleet, session.printer, arguments.environment
    if name not in fleet.hosts:
        raise UnknownName("host", name, list(fleet.hosts)[:3])
    if not arguments.plan:
        _may_change(session, name)
    host, targets = fleet.hosts[name], targets_on(fleet, name)
    if not targets:
        raise UsageError(f"no environment has {name} among its hosts: there is nothing to prepare it for")
    backend = open_backend(fleet)
    found = asyncio.run(look(backend, host, targets))
    who = [By.LOGIN, *([By.ROOT] if arguments.sudo else []), *([By.ENGINE] if arguments.make else [])]
    wanted = sorted(
        found.by(*who), key=lambda need: need.by is not By.ROOT
    )  # root first: it opens what the login user goes on with
    _show(session, found, targets, wanted)
    made: Made | None = None
    if wanted and not arguments.plan:
        made = _make(session, arguments, found, wanted)
    after = made.after if made is not None else found
    undone = made is None and not arguments.plan and bool(wanted)  # somebody said no
    left = [need for need in after.needs if made is not None or need not in wanted]
    if made is not None:
        _show_made(session, made)
    if left:
        _show_left(session, left, name)
    printer.document(_value(session, found, made, left, ready=not after.needs))
    return Exit.DONE if arguments.plan or not (left or undone) else Exit.FAULT


def _may_change(session: "Session", host: str) -> None:
    from quarterdeck.rollouts.refusals import Refused

    if session.read_only:
        raise Refused(f"qd env setup {host} changes something, and --read-only was given", "with --plan it only looks")
    session.control.allow_change()


def _make(session: "Session", arguments: argparse.Namespace, found: "HostNeeds", wanted: "list[Need]") -> "Made | None":
    import asyncio

    from quarterdeck.rollouts.logs.merged import open_backend
    from quarterdeck.rollouts.setting_up.hosts import prepare, targets_on

    fleet, printer = session.fleet, session.printer
    if not arguments.yes:
        if not session.interactive:
            raise MissingConfirmation(
                f"what {found.host} lacks could be made ({len(wanted)} of it), and nobody can be asked; nothing was changed; "
                "give --yes to make it, --plan to only look"
            )
        if not session.ask(f"do that on {found.host}?"):
            printer.progress("nothing was changed")
            return None
    host = fleet.hosts[found.host]
    return asyncio.run(
        prepare(
            open_backend(fleet),
            host,
            targets_on(fleet, found.host),
            wanted,
            session.journal,
            lambda command: printer.progress(f"  {found.host}$ {command}", "dim"),
        )
    )


def _show(session: "Session", found: "HostNeeds", targets: "list[Target]", wanted: "list[Need]") -> None:
    printer = session.printer
    of = ", ".join(target.name for target in targets)
    printer.line(f"{found.host}: {found.words}; for {of}", "bold")
    for finding in found.findings:
        printer.line(f"! {finding.sentence}" + (f"; {finding.fix}" if finding.fix else ""), "warn")
    if not found.needs:
        printer.line("= nothing to do", "ok")
    for need in wanted:
        printer.line(f"+ {need.what}")


def _show_made(session: "Session", made: "Made") -> None:
    for what in made.made:
        session.printer.line(f"= done: {what}", "ok")
    for what in made.failed:
        session.printer.line(f"x {what}", "bad")


def _show_left(session: "Session", left: "list[Need]", host: str) -> None:
    from quarterdeck.rollouts.setting_up.hosts import By

    printer = session.printer
    for by, heading in (
        (By.LOGIN, "not made"),
        (By.ROOT, f"for root on {host} (or: qd env setup {host} --sudo)"),
        (By.ENGINE, f"for the engine of {host} (or: qd env setup {host} --make)"),
        (By.PERSON, f"by hand on {host}"),
    ):
        needs = [need for need in left if need.by is by]
        if needs:
            printer.line("")
            printer.line(f"{heading}:", "bold")
        for need in needs:
            printer.line(f"  # {need.what}")
            if need.text and by is By.PERSON:
                printer.block("\n".join(f"    {line}" for line in need.text.splitlines()))
            if need.command:
                printer.line(f"  {need.command}")


def _value(
    session: "Session", found: "HostNeeds", made: "Made | None", left: "list[Need]", *, ready: bool
) -> dict[str, Any]:
    import msgspec

    return {
        "fleet": session.fleet.name,
        "host": found.host,
        "found": [msgspec.to_builtins(need) for need in found.needs],
        "warnings": [
            f"{finding.sentence}; {finding.fix}" if finding.fix else finding.sentence for finding in found.findings
        ],
        "made": list(made.made) if made is not None else [],
        "failed": list(made.failed) if made is not None else [],
        "left": [msgspec.to_builtins(need) for need in left],
        "ready": ready,
    }
