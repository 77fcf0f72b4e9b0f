"""``qd init``: writes a first fleet file from what is there already, and says what it assumed and what it did not take over."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli.exits import Exit, MissingConfirmation, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quarterdeck.config.first_file.draft import Draft
    from quarterdeck.config.first_file.joining import Wishes
    from quarterdeck.config.first_file.sources import Origin, Surroundings
    from quarterdeck.config.model import Fleet
    from quarterdeck.tui.cli.session import Session

MOST_LINES = 40  # of each list; all of it is in --json


def declare_init(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "init",
        run=run_init,
        changes=True,
        description=(
            "Writes a first fleet file from what is there: a compose file, a Kamal config/deploy.yml, Docker's contexts,\n"
            "an SSH configuration. "
            "Nothing is connected to and nothing is run. The file can always be read by qd check: what is left to\n"
            "be filled in is marked TO DO, and what was not taken over is listed.\n\n"
            "Without --from it takes what lies in this directory; on a terminal it first offers what else it found\n"
            "and asks a few questions. Without a terminal, and with --yes, it asks nothing.\n\n"
            "What looks like a secret is never written: {env: NAME} stands there, and the variable is named.\n"
            "A file that is there already is left alone; with --force it is kept beside the new one, as fleet.yml.1."
        ),
        example=(
            "qd init\n"
            "qd init --from ssh --hosts web-1,web-2 --service shop --yes\n"
            "qd init --from compose.yaml --from docker --name acme"
        ),
    )
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="SOURCE",
        help="compose, kamal, docker, ssh, or a file of such a kind; may be given several times",
    )
    parser.add_argument("--to", metavar="FILE", default="fleet.yml", help="where it is written (default fleet.yml)")
    parser.add_argument(
        "--name", metavar="FLEET", default="", help="the fleet's name (else that of the source, or directory)"
    )
    parser.add_argument("--environment", metavar="ENV", default="", help="where the hosts are (default production)")
    parser.add_argument("--hosts", metavar="HOST,…", default="", help="only these of the hosts that are found")
    parser.add_argument("--service", metavar="NAME", default="", help="the service's name where no source knows any")
    parser.add_argument("--yes", action="store_true", help="ask nothing, take what was found")
    parser.add_argument(
        "--force", action="store_true", help="where the file is there already: keep it as FILE.1, write anew"
    )


def run_init(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.config.first_file.draft import CannotBegin
    from quarterdeck.config.first_file.joining import joined
    from quarterdeck.config.first_file.proving import proved
    from quarterdeck.config.first_file.sources import Surroundings, read

    to = Path(arguments.to)
    beside = to.absolute().parent
    if not beside.is_dir():
        raise UsageError(f"there is no directory {beside} to write {to.name} in")
    if to.is_dir():
        raise UsageError(f"{to} is a directory; --to takes the name of a file")
    if os.path.lexists(to) and not arguments.force:
        raise MissingConfirmation(
            f"{to} is there already, and was left as it is; --force keeps it as {_free(to).name} and writes anew,"
            " --to FILE writes elsewhere"
        )
    home = os.environ.get("HOME")
    around = Surroundings(Path.cwd(), Path(home) if home else None, os.environ)
    asks = session.interactive and not arguments.yes and not session.printer.json
    try:
        origins = _origins(session, arguments, around, asks)
        drafts = [read(origin, beside) for origin in origins]
        wishes = _wishes(session, arguments, drafts, beside.name, asks)
        draft, text, fleet = proved(joined(drafts, wishes, beside.name), beside)
    except CannotBegin as error:
        raise UsageError(f"{error}; nothing was written") from error
    if asks:
        _summary(session, draft)
        if not session.ask(f"Write {to}?"):
            raise MissingConfirmation("nothing was written")
    kept = _write(to, text, force=arguments.force)
    _document(session, to, draft, fleet, kept)
    _told(session, to, draft, fleet, kept)
    return Exit.DONE


def _origins(
    session: "Session", arguments: argparse.Namespace, around: "Surroundings", asks: bool
) -> "Sequence[Origin]":
    from quarterdeck.config.first_file.sources import KINDS

    if arguments.sources:
        return list(dict.fromkeys(around.named(word) for word in arguments.sources))
    here, home = around.here(), around.at_home()
    if not asks:
        if not here:
            also = f" (there is also: {', '.join(f'--from {origin.kind}' for origin in home)})" if home else ""
            raise UsageError(
                f"this directory has nothing that a fleet file could be made from; say --from {' or '.join(KINDS)},"
                f" or --from FILE{also}; nothing was written"
            )
        return here
    offered = [*here, *home]
    if not offered:
        raise UsageError(
            "nothing was found that a fleet file could be made from: no compose file and no config/deploy.yml here, no ~/.ssh/config,"
            " no Docker context; qd init --from FILE names one"
        )
    session.printer.say("A fleet file can be made from:")
    for number, origin in enumerate(offered, 1):
        session.printer.say(f"  {number}  {origin.kind:<8} {origin.path}")
    offer = " ".join(str(number) for number in range(1, len(here) + 1)) or "1"
    while True:
        words = _answer(session, "Which of them?", offer).replace(",", " ").split()
        if words and all(word.isascii() and word.isdigit() and 1 <= int(word) <= len(offered) for word in words):
            return list(dict.fromkeys(offered[int(word) - 1] for word in words))
        session.printer.say(f"Numbers from 1 to {len(offered)}, such as: {offer}")


def _wishes(
    session: "Session", arguments: argparse.Namespace, drafts: "Sequence[Draft]", directory: str, asks: bool
) -> "Wishes":
    from quarterdeck.config.first_file.joining import Wishes
    from quarterdeck.config.first_file.naming import name_of

    fleet, environment = _name("--name", arguments.name), _name("--environment", arguments.environment)
    service = _name("--service", arguments.service)
    hosts = tuple(word for word in arguments.hosts.replace(",", " ").split() if word)
    if not asks:
        return Wishes(fleet, environment, hosts, service)
    found = [host.name for draft in drafts for host in draft.hosts]
    if len(found) > 1 and not hosts:
        session.printer.say(f"Hosts: {', '.join(found)}")
        said = _answer(session, "Which of them?", "all")
        hosts = () if said == "all" else tuple(said.replace(",", " ").split())
    names = [draft.fleet for draft in drafts if draft.fleet]
    fleet = fleet or _asked_name(session, "The fleet's name?", name_of(names[0] if names else directory, "fleet"))
    if not environment and not any(draft.environments for draft in drafts):
        environment = _asked_name(session, "The environment of these hosts?", "production")
    if not service and not any(draft.services or draft.waiting for draft in drafts):
        service = _asked_name(session, "The service's name?", "web")
    return Wishes(fleet, environment, hosts, service)


def _name(option: str, word: str) -> str:
    from quarterdeck.config.kinds import NAME
    from quarterdeck.config.scalars import Unfit

    try:
        return str(NAME.make(word)) if word else ""
    except Unfit:
        raise UsageError(f"{option} takes {NAME.expected}; {word!r} is none") from None


def _asked_name(session: "Session", question: str, offer: str) -> str:
    while True:
        try:
            return _name("This", _answer(session, question, offer))
        except UsageError as error:
            session.printer.say(str(error))


def _answer(session: "Session", question: str, offer: str) -> str:
    """What is typed, or the offer. Raises ``MissingConfirmation`` when nobody answers any more."""
    session.printer.error.write(f"{question} [{offer}] ")
    session.printer.error.flush()
    line = sys.stdin.readline()
    if not line:
        raise MissingConfirmation("the answers ended before the questions did; nothing was written")
    return line.strip() or offer


def _free(to: Path) -> Path:
    """The first of FILE.1, FILE.2, … that is not there."""
    number = 1
    while os.path.lexists(kept := to.with_name(f"{to.name}.{number}")):
        number += 1
    return kept


def _write(to: Path, text: str, *, force: bool) -> Path | None:
    """Writes the file, whole or not at all. What was there is kept under the name that is given back. A file that appeared in the
    meantime is not overwritten either: raises ``MissingConfirmation``."""
    new = to.with_name(f".{to.name}.{os.getpid()}.new")
    kept = _free(to) if force and os.path.lexists(to) else None
    try:
        _create(new, text)
        if kept is not None:
            os.rename(to, kept)
        try:
            _place(new, to, text)
        except BaseException:
            if kept is not None and not os.path.lexists(to):
                os.rename(kept, to)  # as it was
            raise
    finally:
        new.unlink(missing_ok=True)
    return kept


def _create(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _place(new: Path, to: Path, text: str) -> None:
    """Under its name, in one piece. A rename would replace what is there: a link fails."""
    try:
        try:
            os.link(new, to)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            _create(to, text)
    except FileExistsError:
        raise MissingConfirmation(f"{to} appeared just now, and was left as it is; --force keeps it") from None


def _summary(session: "Session", draft: "Draft") -> None:
    say = session.printer.say
    say(f"  hosts         {', '.join(host.name for host in draft.hosts)}")
    for name, hosts in draft.environments.items():
        say(f"  environment   {name}: {', '.join(hosts)}")
    say(f"  services      {', '.join(service.name for service in draft.services) or '-'}")
    if draft.waiting:
        say(f"  as a comment  {', '.join(one.service.name for one in draft.waiting)}")


def _to_do(draft: "Draft") -> list[dict[str, str]]:
    return [
        *({"service": "", "what": sentence} for sentence in draft.to_do),
        *({"service": service.name, "what": what} for service in draft.services for what in service.to_do),
        *(
            {"service": one.service.name, "what": f"can't be used as it is: {why}"}
            for one in draft.waiting
            for why in one.why
        ),
    ]


def _next(to: Path, fleet: "Fleet") -> list[str]:
    named = "" if to == Path("fleet.yml") else f" --fleet {to}"
    target = next(iter(fleet.targets), None)
    commands = [f"qd check{'' if not named else f' {to}'}", f"qd{named} doctor"]
    return [*commands, *([f"qd{named} deploy {target} VERSION --plan"] if target else [])]


def _document(session: "Session", to: Path, draft: "Draft", fleet: "Fleet", kept: Path | None) -> None:
    document: dict[str, Any] = {
        "file": str(to),
        "kept": str(kept) if kept is not None else None,
        "from": list(draft.origins),
        "fleet": draft.fleet,
        "hosts": list(fleet.hosts),
        "environments": list(fleet.environments),
        "services": list(fleet.services),
        "targets": list(fleet.targets),
        "commented_out": [one.service.name for one in draft.waiting],
        "assumed": list(draft.assumed),
        "to_do": _to_do(draft),
        "not_taken_over": [{"source": said.source, "what": said.what, "why": said.why} for said in draft.left],
        "secrets": [
            {"variable": secret.variable, "service": secret.service, "source": secret.source}
            for secret in draft.secrets
        ],
        "next": _next(to, fleet),
    }
    session.printer.document(document)


def _told(session: "Session", to: Path, draft: "Draft", fleet: "Fleet", kept: Path | None) -> None:
    line = session.printer.line
    counts = (("host", fleet.hosts), ("environment", fleet.environments), ("service", fleet.services))
    there = ", ".join(f"{len(named)} {what}{'s' if len(named) != 1 else ''}" for what, named in counts)
    line(f"= {to}: fleet {draft.fleet}, {there}; from {', '.join(draft.origins)}", "ok")
    if kept is not None:
        line(f"  what was there is kept: {kept}")
    _list(session, "assumed", list(draft.assumed))
    named: dict[tuple[str, str], list[str]] = {}
    for secret in draft.secrets:
        named.setdefault((secret.variable, secret.source), []).append(secret.service)
    secrets = [f"{variable} for {', '.join(services)} ({source})" for (variable, source), services in named.items()]
    _list(session, "secrets: values stay out of the file, set these variables where qd runs", secrets)
    _list(session, "not taken over", [f"{said.source}: {said.what}: {said.why}" for said in draft.left])
    rows = [f"{row['service']}: {row['what']}" if row["service"] else row["what"] for row in _to_do(draft)]
    _list(session, "to do (marked TO DO in the file)", rows, "warn")
    line("next:")
    for command in _next(to, fleet):
        line(f"  $ {command}")


def _list(session: "Session", title: str, rows: list[str], style: str = "") -> None:
    if not rows:
        return
    session.printer.line(f"{title}:", style)
    for row in rows[:MOST_LINES]:
        session.printer.line(f"  - {row}")
    if len(rows) > MOST_LINES:
        session.printer.line(f"  … and {len(rows) - MOST_LINES} more: qd init --json lists them all")
