"""``qd`` without a command: the control room, opened on the whole fleet or on a target."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quarterdeck.tui.cli.exits import UsageError
from quarterdeck.tui.cli.parser import Parser, add_global_options, add_room_options
from quarterdeck.tui.cli.printing import Printer

if TYPE_CHECKING:
    from quarterdeck.config.settings import Settings
    from quarterdeck.tui.cli.session import Session
    from quarterdeck.tui.room.guide import Incident


def wants_room(words: Sequence[str], printer: Printer) -> int | None:
    """Opens the control room and gives its exit status; None where this is no call for it (help, --version, no terminal)."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or {"--help", "-h", "--version", "--json"} & set(words):
        return None
    parsed = room_parser().parse_args(list(words))
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("this terminal (TERM=dumb) can't show the control room; qd status prints what runs where")
    _checked_look(parsed.look)
    from quarterdeck.tui.cli.session import Session

    session = Session(printer, fleet_file=parsed.fleet, read_only=parsed.read_only, debug=parsed.debug)
    target = session.target(parsed.target).name if parsed.target else None
    observe = not (parsed.cached or os.environ.get("QD_CACHED"))
    return open_on(session, target=target, look=parsed.look, slow=parsed.slow, mouse=parsed.mouse, observe=observe)


def open_on(
    session: "Session",
    *,
    target: str | None = None,
    look: str | None = None,
    slow: bool = False,
    mouse: bool = False,
    observe: bool = True,
    incident: "Incident | None" = None,
) -> int:
    """The control room on the session's fleet, with the operator's settings. Gives the exit status."""
    from quarterdeck.tui.room.looks import look_for
    from quarterdeck.tui.room.open import open_room
    from quarterdeck.tui.room.opening import Opening

    settings, notice = _settings()
    return open_room(
        Opening(
            session.fleet,
            session.operator,
            read_only=session.read_only,
            look=look_for(os.environ, look, slow=slow, usual=settings.look),
            target=target,
            slow=slow,
            settings=settings,
            observe=observe,
            notice=notice,
            incident=incident,
        ),
        mouse=mouse or settings.mouse,
    )


def _settings() -> "tuple[Settings, str]":
    """The operator's, and what is wrong with them in one sentence: they never keep the room from opening."""
    from quarterdeck.config.settings import read_settings, settings_path
    from quarterdeck.tui.room.keymap import known

    settings, problems = read_settings(settings_path(), known())
    if not problems:
        return settings, ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (
        settings,
        f"settings: {problems[0].file.name}:{problems[0].line}:{problems[0].column}: {problems[0].message}{more}; qd settings",
    )


def room_parser() -> Parser:
    """Of ``qd [TARGET]`` without a command."""
    parser = Parser(prog="qd", add_help=False, allow_abbrev=False)
    add_global_options(parser, top=True)
    add_room_options(parser)
    parser.add_argument("target", nargs="?", metavar="TARGET")
    return parser


def _checked_look(name: str | None) -> None:
    """Raises UsageError with the looks that there are."""
    from quarterdeck.tui.room.looks import LOOKS

    if name is not None and name not in LOOKS:
        raise UsageError(f"there is no look {name!r}; there is {', '.join(LOOKS)}")
