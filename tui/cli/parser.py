"""The tree of commands: which file has which command, its one line of summary, and the options that all of them take.

A command's own file is imported only when that command is asked for, so that ``qd --version`` and a rollback start at once.
"""

import argparse
import importlib
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import msgspec

from quarterdeck.tui.cli.exits import MEANINGS, UsageError

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session

Run = Callable[["Session", argparse.Namespace], int]


class Command(msgspec.Struct, frozen=True):
    """``module`` (of this folder) has a function ``declare_<name>`` that describes the command's own arguments."""

    name: str
    module: str
    summary: str


POLICIES = ("after", "freeze", "require", "queue")  # what --override can set aside
OVERRIDES = (
    "set a policy aside (after: the order of environments; freeze: that the environment is frozen; require: that there must"
    " be a way back, or a build that has passed; queue: that others are under way); needs --reason"
)

COMMANDS: tuple[Command, ...] = (
    Command("init", "init", "write a first fleet file from what is there"),
    Command("check", "fleetfile", "check the fleet file, all faults at once"),
    Command("schema", "fleetfile", "print the JSON Schema of the fleet file"),
    Command("settings", "settings", "check the control room's settings file, or print an example"),
    Command("doctor", "doctor", "test this machine and every host, with a fix for each fault"),
    Command("env", "env", "previews of environments, what two declare differently, what a host or router needs"),
    Command("status", "status", "what runs where, since when, by whom, and whether the way back is open"),
    Command("ready", "ready", "whether every target can be rolled back right now, and what is in the way"),
    Command("deploy", "releasing", "put a version on a target"),
    Command("rollback", "releasing", "put the last good release back"),
    Command("drill", "drilling", "practise a rollback for real, and how long ago each was"),
    Command("pause", "steering", "hold a running rollout"),
    Command("resume", "steering", "let a paused rollout, or one whose worker died, go on"),
    Command(
        "promote", "steering", "end the pause that a rollout waits in, or ship what runs in one environment to another"
    ),
    Command("skip", "steering", "let a rollout go on without the step that failed"),
    Command("abort", "steering", "stop a rollout and take it back"),
    Command("retry", "steering", "try again what a rollout could not do"),
    Command("approve", "approving", "agree to a deploy that waits for it"),
    Command("reject", "approving", "say no to a deploy that waits for approvals"),
    Command("freeze", "freezing", "when no release goes out to an environment; freeze one by hand"),
    Command("unfreeze", "freezing", "end a freeze that was made by hand"),
    Command("flag", "flagging", "how many get what a feature flag lets through; switch one off"),
    Command("notify", "notifying", "who is told of what; send a test message"),
    Command("rollouts", "reading", "list rollouts, newest first"),
    Command("show", "reading", "one rollout, whole: steps, requests, reasons"),
    Command("watch", "reading", "follow a rollout live, a line for each step"),
    Command("report", "reporting", "the post-mortem of a rollout: what happened, when, and who did what"),
    Command("stats", "counting", "how often is deployed, how often it goes wrong, how long until it is well again"),
    Command("history", "past", "what ran when, and who did it"),
    Command("releases", "past", "the releases of a target and what became of them"),
    Command("builds", "building", "what CI systems built, and where that runs"),
    Command("diff", "past", "what differs between two releases"),
    Command("logs", "logs", "logs of a target, from all its hosts, merged"),
    Command("exec", "executing", "run a command where a target's release runs"),
    Command("adopt", "adopt", "rebuild releases and fences from what the hosts say"),
    Command("audit", "audit", "verify or export the audit chain"),
    Command("note", "audit", "write a note into the timeline"),
    Command("demo", "demo", "a playground fleet on this machine"),
    Command("completion", "completion", "print the shell's completion script"),
    Command("help", "helping", "the manual of a command"),
)
_BY_NAME = {command.name: command for command in COMMANDS}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as a manual page: as wide as the terminal, at most 96 columns."""

    def __init__(self, prog: str) -> None:
        columns = min(int(os.environ.get("COLUMNS", "0") or 0) or _terminal_columns(), 96)
        super().__init__(prog, max_help_position=26, width=max(columns - 2, 40))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs are filled to the width; what has indented lines (examples, tables) stays as it was written."""
        import textwrap

        blocks = text.split("\n\n")
        kept = (block if "\n " in block else textwrap.fill(" ".join(block.split()), width) for block in blocks)
        return "\n\n".join(indent + block for block in kept)


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 80


_TOO_MUCH = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """argparse's parser whose errors are ours: one sentence, the nearest word, exit status 2."""

    command: "Parser | None" = None  # of the whole tree: the one that is asked for

    def error(self, message: str) -> NoReturn:
        asked = self
        if message.startswith(_TOO_MUCH) and self.command is not None:  # argparse leaves it to the top to say so
            asked = self.command
            message = asked.unknown(message)
        readable = _readable(message)
        raise UsageError(f"{readable}{' See' if readable.endswith('?') else '; see'}: {asked.prog} --help")

    def unknown(self, message: str) -> str:
        """With the option that is nearest to the first that is not known."""
        import difflib

        word = message.removeprefix(_TOO_MUCH).partition(" ")[0].partition("=")[0]
        nearest = difflib.get_close_matches(word, self._option_string_actions, n=1, cutoff=0.6)
        return f"{message}; did you mean {nearest[0]}?" if word.startswith("--") and nearest else message


def _readable(message: str) -> str:
    unknown = re.match(r"argument \S+: invalid choice: '([^']*)' \(choose from (.*)\)", message)
    if unknown:
        import difflib

        choices = [choice.strip(" '") for choice in unknown.group(2).split(",")]
        nearest = difflib.get_close_matches(unknown.group(1), choices, n=2, cutoff=0.5)
        hint = (
            f"; did you mean {' or '.join(nearest)}?"
            if nearest and len(choices) > 5
            else f"; there is {', '.join(choices)}"
        )
        if "/" not in unknown.group(1) and len(choices) > 5:
            hint += "; a target is ENVIRONMENT/SERVICE"
        return f"there is no {unknown.group(1)!r} here{hint}"
    return message


def add_command(
    commands: "argparse._SubParsersAction[Parser]",
    name: str,
    *,
    run: Run,
    description: str,
    example: str,
    changes: bool = False,
    within: str = "",
) -> Parser:
    """The parser of a command, with a manual's parts. ``changes``: it is refused with --read-only. ``within``: the command that it is an
    action of, where another command has its name or it changes something."""
    known = _BY_NAME.get(name) if not within else None
    summary = known.summary if known is not None else _first_sentence(description)
    parser = commands.add_parser(
        name,
        help=summary,
        description=description.strip(),
        epilog=f"example{'s' if example.strip().count(chr(10)) else ''}:\n" + _indented(example),
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, changes=changes, command=f"{within} {name}".strip())
    add_global_options(parser, top=False)
    return parser


def _first_sentence(text: str) -> str:
    """Wherever its lines end: a list of commands shows no half sentence."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def add_global_options(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """The options that stand before or after the command. Below the top they have no default: the outer value stays."""

    def default(value: object) -> object:
        return value if top else argparse.SUPPRESS

    group = parser.add_argument_group("options of every command")
    group.add_argument(
        "--fleet",
        metavar="FILE",
        default=default(None),
        help="fleet file (else $QD_FLEET, ./fleet.yml, ~/.config/quarterdeck/fleet.yml)",
    )
    group.add_argument(
        "--json",
        action="store_true",
        default=default(False),
        help="one JSON document on standard output, or one object a line",
    )
    group.add_argument(
        "--read-only", action="store_true", default=default(False), help="refuse every command that changes something"
    )
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default=default("auto"),
        metavar="WHEN",
        help="auto, always or never; NO_COLOR, TERM=dumb and pipes mean never",
    )
    group.add_argument("--debug", action="store_true", default=default(False), help="add the traceback to an error")
    group.add_argument("-h", "--help", action="help", default=argparse.SUPPRESS, help="show this help")


def add_room_options(parser: argparse.ArgumentParser) -> None:
    """What ``qd [TARGET]``, the control room, takes beside the options of every command."""
    group = parser.add_argument_group("options of the control room (qd [TARGET])")
    group.add_argument(
        "--look", metavar="NAME", default=None, help="dark, light, ansi-dark, ansi-light, colour-blind or no-colour"
    )
    group.add_argument(
        "--slow", action="store_true", help="for a slow line: fewer bytes, no colours but the terminal's own"
    )
    group.add_argument("--cached", action="store_true", help="ask no host: what the journal knows (or QD_CACHED=1)")
    group.add_argument(
        "--mouse", action="store_true", help="take the mouse; without it the terminal keeps it, for selecting text"
    )


_DESCRIPTION = """\
The control room for releases on machines you can SSH into: deploy, watch, roll back.

One YAML file declares hosts, environments and services; a target is a service in an
environment, written production/api. Every change is a rollout: journalled, done by a
detached worker that outlives this terminal, and taken back when it turns out to be bad.

qd alone, or qd production/api, opens the control room on a terminal; --read-only makes it
one that only looks. Everything in it is a command, too.
"""


def build(asked_for: str | None) -> Parser:
    """The whole tree; only the command ``asked_for`` gets its arguments (None: all of them, for completion)."""
    parser = Parser(
        prog="qd",
        description=_DESCRIPTION,
        epilog=_epilog(),
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.set_defaults(run=None, changes=False, command=None)
    add_global_options(parser, top=True)
    add_room_options(parser)
    parser.add_argument("--version", dest="show_version", action="store_true", help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="qd", parser_class=Parser)
    if asked_for is None:  # for completion
        from quarterdeck.tui.cli.completion import completes, targets

        completes(commands, targets)
    for command in COMMANDS:
        if asked_for is None or asked_for == command.name:
            module = importlib.import_module(f"quarterdeck.tui.cli.{command.module}")
            getattr(module, f"declare_{command.name}")(commands)
            parser.command = commands.choices.get(command.name)
        else:
            commands.add_parser(command.name, help=command.summary, add_help=False)
    return parser


def _epilog() -> str:
    statuses = "\n".join(f"  {status.value:>3}  {meaning}" for status, meaning in MEANINGS.items())
    return (
        f"exit status:\n{statuses}\n\n"
        "examples:\n"
        "  qd                     # the control room\n"
        "  qd production/api --slow --read-only\n"
        "  qd demo up && qd deploy staging/web v2 --wait\n"
        "  qd rollback production/api\n"
        "  qd help rollback"
    )


def command_in(arguments: Sequence[str]) -> str | None:
    """The first word of ``arguments`` that is a command, or "" when there is none. Values of global options are stepped over."""
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in {"--fleet", "--color", "--look"}:
            skip = True
        elif not word.startswith("-"):
            return word
    return ""
