"""``qd env setup``: the configuration that an environment's routers need, file by file and explained, for a person to put in place."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.env_diff import declare_diff
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from pathlib import Path

    from quarterdeck.rollouts.router_setup import RouterSetup
    from quarterdeck.tui.cli.session import Session


def declare_env(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "env",
        run=run_setup,
        description="What an environment needs around it, for a person to put in place: qd env setup.",
        example="qd env setup production",
    )
    parser.set_defaults(environment=None)
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", prog="qd env", parser_class=Parser)
    declare_diff(actions)
    setup = add_command(
        actions,
        "setup",
        run=run_setup,
        description=(
            "Prints what the routers in front of an environment's services need, file by file, and the commands to\n"
            "run once on each router's host. Nothing is asked of a router and nothing is written there: whoever is\n"
            "responsible for it reads this and puts it in place, once for each service. Afterwards `qd doctor` says\n"
            "whether it is all there.\n\n"
            "A router that serves already has a configuration of its own: take over from this one what it lacks.\n"
            "Where one router has several services here, each gets a port of its own, from --port upwards.\n\n"
            "--to writes the files into a directory of this machine, below their paths; it replaces no file that\n"
            "holds something else."
        ),
        example="qd env setup production\nqd env setup production api --port 8080 --to /tmp/edge",
    )
    completion.completes(setup.add_argument("environment", metavar="ENV"), completion.environments)
    setup.add_argument("service", metavar="SERVICE", nargs="?", help="else all of them that are behind a router")
    setup.add_argument("--port", metavar="N", type=_port, default=80, help="where clients come in (default 80)")
    setup.add_argument(
        "--login", metavar="USER", help="as whom Quarterdeck is on the router's host (else as the fleet file says)"
    )
    setup.add_argument("--to", metavar="DIRECTORY", help="write the files there, below their paths")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def run_setup(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.config.names import find_environment
    from quarterdeck.rollouts.router_setup import setups

    if arguments.environment is None:
        raise UsageError("say what is to be done: qd env setup ENV")
    fleet, printer = session.fleet, session.printer
    targets = find_environment(fleet, arguments.environment)
    if arguments.service:
        targets = [session.target(f"{arguments.environment}/{arguments.service}")]
    made = setups(fleet, targets, port=arguments.port, login=arguments.login)
    if not made and arguments.service:
        raise UsageError(f"{targets[0].name} is behind no router: its service has no `router` in the fleet file")
    written = _write(made, arguments.to) if arguments.to else []
    printer.document(
        {
            "fleet": fleet.name,
            "environment": arguments.environment,
            "routers": [_value(one) for one in made],
            "written": [str(path) for path in written],
        }
    )
    if not made:
        printer.line(f"no service of {arguments.environment} is behind a router: nothing is needed")
    for one in made:
        _show(session, one)
    for path in written:
        printer.line(f"= written: {path}", "ok")
    return Exit.DONE


def _write(made: "list[RouterSetup]", directory: str) -> "list[Path]":
    from pathlib import Path

    from quarterdeck.rollouts.router_setup import FilesInTheWay, write_below

    try:
        return write_below(Path(directory), made)
    except FilesInTheWay as error:
        raise UsageError(
            f"{error} is there and holds something else; nothing was written: name an empty directory"
        ) from None


def _value(one: "RouterSetup") -> dict[str, Any]:
    import msgspec

    return {
        "router": one.router.name,
        "kind": one.router.__struct_config__.tag,
        "host": one.router.host or None,
        "targets": [{"target": target.name, "port": port} for target, port in one.targets],
        "files": [msgspec.to_builtins(file) for file in one.setup.files],
        "commands": list(one.setup.commands),
        "elsewhere": list(one.elsewhere),
    }


def _show(session: "Session", one: "RouterSetup") -> None:
    """Comments and text, so that a file may be cut out of it."""
    printer = session.printer
    kind = one.router.__struct_config__.tag
    printer.line(f"{one.router.name}: {kind} on {one.router.host or 'this machine'}", "bold")
    for target, port in one.targets:
        printer.line(f"  {target.name}: clients come in at port {port}")
    if one.elsewhere:
        printer.line(f"  not in here, and on the same router: {', '.join(one.elsewhere)}", "warn")
    if one.guessed:
        printer.line(
            f"  for the login {one.guessed}: the fleet file does not say as whom {one.router.host} is reached; --login names another",
            "warn",
        )
    for file in one.setup.files:
        printer.line("")
        printer.line(f"{file.path}", "bold")
        printer.line(f"  {file.why}", "dim")
        printer.line("")
        printer.block(file.text.rstrip("\n"))
    printer.line("")
    printer.line("Once there:", "bold")
    printer.line("")
    for command in one.setup.commands:
        printer.block(command)
    printer.line("")
