"""The entry of ``qd``: reads the command line, runs the command, turns what went wrong into one sentence and an exit status."""

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from quarterdeck.config.msgspec_loading import load_msgspec

if TYPE_CHECKING:
    from quarterdeck.rollouts.spawn import WaitingWorker
    from quarterdeck.tui.cli.printing import Printer

_GARBAGE = 20_000  # objects between two looks for garbage: loading modules makes many, and leaves none behind


def entry() -> NoReturn:
    """The process ``qd``. It leaves without taking the interpreter apart: everything is flushed and closed by then."""
    gc.set_threshold(_GARBAGE, 20, 20)
    _open_what_is_closed()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # nobody reads it any more
    os._exit(status)


def _open_what_is_closed() -> None:
    """A standard stream that is closed (``qd … >&-``, some schedulers) leads nowhere. In this order each gets its own
    number: else the journal would be opened as number 1, and the next program's output would go into it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it stays open, as the stream did


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status (see tui/cli/exits.py)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        from quarterdeck import __version__

        print(f"qd {__version__}")
        return 0
    load_msgspec()
    if "_ARGCOMPLETE" in os.environ:
        from quarterdeck.tui.cli.completion import answer

        answer()
    if not words or words[0].startswith("-") or "/" in words[0]:
        from quarterdeck.tui.room import first_paint

        if first_paint.paint(words):
            try:
                return _main(words)
            finally:
                first_paint.give_back()
    return _main(words)


def _main(words: list[str]) -> int:
    from quarterdeck.tui.cli.exits import Exit

    status: int = Exit.DONE
    try:
        status = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_stdout()  # the reader left (`qd rollouts | head`)
    except OSError as error:  # a full disk behind `>`: what could not be written is still there to be written
        _let_go_of_stdout()
        if status == Exit.DONE:
            status = Exit.FAULT
            with contextlib.suppress(OSError):
                sys.stderr.write(f"qd: standard output: {(error.strerror or str(error)).lower()}\n")
    return status


def _let_go_of_stdout() -> None:
    """Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    from quarterdeck.tui.cli.exits import Exit, explain
    from quarterdeck.tui.cli.printing import Printer

    own, _ = _cut(words)
    debug = "--debug" in own
    printer = Printer(json="--json" in own, colour=_colour(own))
    try:
        return _command(words, printer)
    except BrokenPipeError:
        raise
    except SystemExit as leaving:  # argparse, after --help
        return leaving.code if isinstance(leaving.code, int) else Exit.USAGE
    except (Exception, KeyboardInterrupt) as error:
        from quarterdeck.tui.room.first_paint import give_back

        give_back()  # what is said now must stay on the screen
        if debug:
            import traceback

            printer.error.write("".join(traceback.format_exception(error)))
        explanation = explain(error)
        with contextlib.suppress(BrokenPipeError):  # whoever is told nothing still gets the status
            for line in explanation.places.splitlines():
                printer.say(line)
            printer.say(f"qd: {explanation.text}", "bad")
        return explanation.status


def _command(words: list[str], printer: "Printer") -> int:
    worker = _worker_ahead(words)
    try:
        return _with_worker(words, printer, worker)
    finally:
        if worker is not None:
            worker.dismiss()  # where nothing came of it


def _worker_ahead(words: list[str]) -> "WaitingWorker | None":
    """The worker that a deploy or a rollback will need, started before anything else is loaded: the two load side by side."""
    if not words or words[0] not in ("deploy", "rollback") or {"-h", "--help", "--read-only"} & set(words):
        return None
    from quarterdeck.config.glance import seems_of_engines
    from quarterdeck.rollouts.spawn import start_worker

    return start_worker(for_engines=seems_of_engines(_cut(words)[0]))


def _with_worker(words: list[str], printer: "Printer", worker: "WaitingWorker | None") -> int:
    from quarterdeck.tui.cli.exits import Exit, UsageError
    from quarterdeck.tui.cli.parser import build, command_in
    from quarterdeck.tui.cli.session import Session

    own, behind = _cut(words)
    asked_for = command_in(own)
    if asked_for == "exec":
        words = own
    if asked_for == "" or (asked_for is not None and "/" in asked_for):
        from quarterdeck.tui.cli.room import wants_room

        if (status := wants_room(words, printer)) is not None:
            return status
    parser = build(asked_for)
    parsed = parser.parse_args(words)
    parsed.behind = behind
    if parsed.show_version:
        from quarterdeck import __version__

        printer.line(f"qd {__version__}")
        printer.document({"version": __version__})
        return Exit.DONE
    if parsed.run is None:
        for line in parser.format_help().splitlines():
            printer.say(line)
        raise UsageError(
            "a command is missing, and without a terminal there is no control room; qd status prints what runs where, "
            "qd help shows all commands"
        )
    if parsed.look or parsed.slow or parsed.mouse:
        raise UsageError(f"--look, --slow and --mouse are options of the control room, not of qd {parsed.command}")
    printer.json = parsed.json
    if parsed.read_only and parsed.changes:
        from quarterdeck.rollouts.refusals import Refused

        raise Refused(f"qd {parsed.command} changes something, and --read-only was given")
    session = Session(printer, fleet_file=parsed.fleet, read_only=parsed.read_only, debug=parsed.debug, worker=worker)
    try:
        return int(parsed.run(session, parsed))
    finally:
        session.close()


def _cut(words: list[str]) -> tuple[list[str], list[str]]:
    """What is qd's own, and what stands behind the first ``--``: no option of ours is looked for there."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _colour(words: list[str]) -> str:
    """--color as typed, found before the line is parsed, so that an error in it is coloured as wished."""
    for index, word in enumerate(words):
        if word.startswith("--color="):
            return word.partition("=")[2]
        if word == "--color" and index + 1 < len(words):
            return words[index + 1]
    return "auto"


if __name__ == "__main__":
    entry()
