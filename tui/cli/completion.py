"""``qd completion SHELL`` and what completes while one types: commands, options, target names, releases, rollouts, hosts.

Completion reads the fleet file and the journal, never a host, and never prints an error.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session

Completer = Callable[..., list[str]]


def declare_completion(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "completion",
        run=run_completion,
        description=(
            "Prints a script that teaches the shell to complete qd's commands, options, targets,\n"
            "releases and rollouts. Targets come from the fleet file that qd finds at that moment."
        ),
        example=(
            'eval "$(qd completion bash)"           # in ~/.bashrc\n'
            'eval "$(qd completion zsh)"            # in ~/.zshrc, after compinit\n'
            "qd completion fish > ~/.config/fish/completions/qd.fish"
        ),
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def run_completion(session: "Session", arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    script = shellcode(["qd"], shell=arguments.shell)
    session.printer.document({"shell": arguments.shell, "script": script})
    if not session.printer.json:
        session.printer.out.write(script + "\n")
    return Exit.DONE


def answer() -> None:
    """Answers the shell, when it is the shell that asks (``_ARGCOMPLETE``), and ends the process."""
    import argcomplete

    from quarterdeck.tui.cli.parser import build

    argcomplete.autocomplete(build(None), always_complete_options="long", append_space=True)


class _Completed(argparse.Action):
    completer: Completer  # argcomplete looks for exactly this attribute of an action


def completes(action: argparse.Action, completer: Completer) -> None:
    """Binds ``completer`` to an argument (argcomplete's attribute)."""
    cast(_Completed, action).completer = completer


def add_target_or_environment(parser: Parser, name: str) -> None:
    """The argument ``name`` of commands that are about one target, an environment's, or all."""
    completes(
        parser.add_argument(name, metavar="ENV or TARGET", nargs="?", help="else of the whole fleet"),
        targets_and_environments,
    )


def targets(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Names of the fleet file's targets."""
    return _quietly(lambda: list(_session(parsed_args).fleet.targets))


def built(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Services with builds, and their targets."""

    def found() -> list[str]:
        fleet = _session(parsed_args).fleet
        return [*fleet.builds, *(name for name, target in fleet.targets.items() if target.service in fleet.builds)]

    return _quietly(found)


def environments(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return _quietly(lambda: list(_session(parsed_args).fleet.environments))


def previews(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return _quietly(lambda: list(_session(parsed_args).fleet.previews))


def environments_and_hosts(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return _quietly(lambda: [*_session(parsed_args).fleet.environments, *_session(parsed_args).fleet.hosts])


def flags(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return _quietly(lambda: list(_session(parsed_args).fleet.flags))


def targets_and_environments(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return _quietly(lambda: [*_session(parsed_args).fleet.environments, *_session(parsed_args).fleet.targets])


def services_and_all_above(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Environments, targets, and services, which are in several environments."""

    def found() -> list[str]:
        fleet = _session(parsed_args).fleet
        return _unique([*fleet.environments, *fleet.targets, *(target.service for target in fleet.targets.values())])

    return _quietly(found)


def versions(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Versions of the target's releases that the journal knows."""
    return _quietly(lambda: _unique(row.release.version for row in _releases(parsed_args)))


def releases(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Ids and versions of the target's releases; before a target is named, the newest ids of all."""

    def found() -> list[str]:
        if not getattr(parsed_args, "target", None):
            return [row.id for row in _session(parsed_args).journal.releases(limit=50)]
        return _unique([x for row in _releases(parsed_args) for x in (row.release.version, row.id)])

    return _quietly(found)


def rollouts(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Ids of the newest rollouts."""
    return _quietly(lambda: [str(rollout.id) for rollout in _session(parsed_args).journal.rollouts(limit=20)])


def hosts(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Hosts of the target that is on the line already, or all of the fleet."""

    def found() -> list[str]:
        fleet = _session(parsed_args).fleet
        target = fleet.targets.get(getattr(parsed_args, "target", "") or "")
        return [host.name for host in target.hosts] if target else list(fleet.hosts)

    return _quietly(found)


def _session(parsed_args: argparse.Namespace) -> "Session":
    from quarterdeck.tui.cli.session import Session

    return Session(fleet_file=getattr(parsed_args, "fleet", None), read_only=True, quiet=True)


def _releases(parsed_args: argparse.Namespace) -> list[Any]:
    target = getattr(parsed_args, "target", None)
    return list(_session(parsed_args).journal.releases(target, limit=50)) if target else []


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _quietly(find: Callable[[], list[str]]) -> list[str]:
    try:
        return find()
    except Exception:  # a broken fleet file must not write into the line that somebody types
        return []
