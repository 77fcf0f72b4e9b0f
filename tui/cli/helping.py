"""``qd help [COMMAND]``: the same manual pages as ``--help``."""

import argparse

from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import COMMANDS, Parser, add_command, build
from quarterdeck.tui.cli.session import Session


def declare_help(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "help",
        run=run_help,
        description="Shows the manual of a command, or the list of all commands.",
        example="qd help rollback",
    )
    parser.add_argument("about", metavar="COMMAND", nargs="*", help="a command, such as rollback or audit verify")


def run_help(session: Session, arguments: argparse.Namespace) -> int:
    words: list[str] = arguments.about
    text = manual(words) if words else build("").format_help()
    session.printer.document({"command": " ".join(words), "manual": text})
    session.printer.block(text)
    return Exit.DONE


def manual(words: list[str]) -> str:
    """The manual of a command such as ``["audit", "verify"]``. Raises UsageError with the nearest names."""
    names = [command.name for command in COMMANDS]
    parser: argparse.ArgumentParser = build(words[0] if words[0] in names else "")
    for word in words:
        choices = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if not choices or word not in choices:
            import difflib

            nearest = difflib.get_close_matches(word, list(choices or names), n=2, cutoff=0.5)
            raise UsageError(
                f"there is no command {word!r}" + (f"; did you mean {' or '.join(nearest)}?" if nearest else "")
            )
        parser = choices[word]
    return parser.format_help()
