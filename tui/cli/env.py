"""``qd env``: what is done about environments as a whole. Here: the configuration that an environment's routers need, file by file and
explained, for a person to put in place; hosts, differences and previews have files of their own."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.env_diff import declare_diff
from quarterdeck.tui.cli.env_setup import declare_host_options, run_host_setup, unknown_host_or_environment
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.previewing import declare_previews

if TYPE_CHECKING:
    from pathlib import Path

    from quarterdeck.rollouts.setting_up.routers import RouterSetup
    from quarterdeck.tui.cli.session import Session


def declare_env(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "env",
        run=run_setup,
        description=(
            "Environments as a whole: previews with a lifetime, what two of them declare differently, and what a host\n"
            "or a router needs."
        ),
        example="qd env clone staging pr-7 --hosts stg-2 --for 3d\nqd env diff staging production\nqd env setup web-1",
    )
    parser.set_defaults(environment=None)
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", prog="qd env", parser_class=Parser)
    declare_previews(actions)
    declare_diff(actions)
    setup = add_command(
        actions,
        "setup",
        run=run_setup,
        description=(
            "Prepares a host for its first deploy, or prints what an environment's routers need.\n\n"
            "Of a HOST it looks first, with the questions of `qd doctor`: tools, the clock, disk, and of each service\n"
            "there its directory, unit and what it may run with sudo; of a Docker host the engine, and networks and\n"
            "volumes that are external. It says what is missing and asks; then it makes what the login user may\n"
            "make, and prints the commands that are root's, exactly. With --sudo it runs those too, each shown\n"
            "before. Networks and volumes are made with --make only. A second run says that there is nothing to do.\n"
            "Exit status 0 when nothing is missing any more, 1 when something is left for a person.\n\n"
            "Of an ENV it prints what the routers in front of its services need, file by file, and the commands to\n"
            "run once on each router's host. Nothing is asked of a router and nothing is written there: whoever is\n"
            "responsible for it reads this and puts it in place, once for each service. A router that serves already\n"
            "has a configuration of its own: take over from this one what it lacks. Where one router has several\n"
            "services here, each gets a port of its own, from --port upwards. --to writes the files into a directory\n"
            "of this machine, below their paths; it replaces no file that holds something else.\n\n"
            "Afterwards `qd doctor` says whether it is all there."
        ),
        example=(
            "qd env setup web-1 --plan\nqd env setup web-1 --yes --sudo\nqd env setup box-1 --yes --make\n"
            "qd env setup production\nqd env setup production api --port 8080 --to /tmp/edge"
        ),
    )
    completion.completes(setup.add_argument("environment", metavar="HOST or ENV"), completion.environments_and_hosts)
    setup.add_argument("--host", action="store_true", help="the name is a host's, where an environment has it, too")
    declare_host_options(setup)
    setup.add_argument(
        "service", metavar="SERVICE", nargs="?", help="of an ENV: else all of them that are behind a router"
    )
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
    from quarterdeck.rollouts.setting_up.routers import setups

    if arguments.environment is None:
        raise UsageError(
            "say what is to be done: list, clone, extend, remove, diff, or qd env setup HOST or ENV; see: qd env --help"
        )
    fleet, printer = session.fleet, session.printer
    name = arguments.environment
    if arguments.host or name not in fleet.environments:
        if not arguments.host and name not in fleet.hosts:
            raise unknown_host_or_environment(fleet, name)
        if arguments.service or arguments.to:
            raise UsageError(f"a service and --to are of an environment's routers, and {name} is a host")
        return run_host_setup(session, arguments)
    if name in fleet.hosts:
        raise UsageError(f"{name} is an environment and a host: for the host add --host, for the routers rename one")
    if any(getattr(arguments, option) for option in ("plan", "yes", "sudo", "make")):
        raise UsageError(
            f"--plan, --yes, --sudo and --make are for hosts, and {name} is an environment: its routers' configuration is printed only"
        )
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

    from quarterdeck.rollouts.setting_up.routers import FilesInTheWay, write_below

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
