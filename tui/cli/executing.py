"""``qd exec``: a command where a target's release runs, on one host or on all of them."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.following import positive_seconds
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import Exited, HostBackend, Printed, Terminal, Typed
    from quarterdeck.config.model import Target
    from quarterdeck.rollouts.executing import Place, Words
    from quarterdeck.tui.cli.session import Session

TIMED_OUT = 124  # as `timeout` has it


def declare_exec(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "exec",
        run=run_exec,
        changes=True,
        description=(
            "Runs CMD where the target's release runs: on an SSH host in the release's directory with its\n"
            "environment, on a Docker host in the live container, on a swarm in one of its tasks, on a node whose\n"
            "engine is reached (--host SWARM:2 is the task in slot 2, --host SWARM@NODE one on that node; --all is\n"
            "every task that runs of the current release, named so). Each argument arrives as it was typed, no\n"
            "shell reads it (for a pipe: -- sh -c 'a | b'). It is no rollout: nothing takes it back.\n\n"
            "With a terminal on both ends it is an interactive session. Else standard input is passed on (not\n"
            "with --all), and the output is shown line by line: cleaned of escape sequences and of the values of\n"
            "secrets on a terminal, unchanged into a file or pipe. The exit status is the command's; 124 when\n"
            "its time was over; with --all the highest of all hosts and tasks.\n\n"
            "The journal keeps who ran what, where, and how it ended, without the values of secrets."
        ),
        example=(
            "qd exec production/web --host web-1 -- ls -la\n"
            "qd exec production/api --all -- sh -c 'df -h . | tail -n 1'\n"
            "qd exec staging/api -- sh"
        ),
    )
    parser.usage = "qd exec [options] TARGET [--host HOST | --all] -- CMD [ARG ...]"
    completion.completes(
        parser.add_argument("target", metavar="TARGET", help="as in production/api"), completion.targets
    )
    completion.completes(
        parser.add_argument(
            "--host",
            metavar="HOST",
            action="append",
            default=[],
            help="this host; of a swarm also HOST:SLOT or HOST@NODE, a task; may be given again",
        ),
        completion.hosts,
    )
    parser.add_argument(
        "--all", action="store_true", help="all hosts at once, of a swarm all tasks; the name of each before its lines"
    )
    parser.add_argument("--raw", action="store_true", help="the output as it comes, escape sequences and all")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_seconds,
        help="end the command after this (default 10m; an interactive session has none)",
    )


def run_exec(session: "Session", arguments: argparse.Namespace) -> int:
    if not arguments.behind:
        raise UsageError("say what to run, behind --: qd exec TARGET -- CMD")
    session.target(arguments.target)
    try:
        return asyncio.run(_run(session, arguments))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Exit.INTERRUPTED


async def _run(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.executing import allowed, spread, words_of
    from quarterdeck.rollouts.logs.merged import open_backend

    going = asyncio.current_task()
    assert going is not None
    for number in (signal.SIGTERM, signal.SIGHUP):  # the command is ended, and that is written down, as with Ctrl-C
        asyncio.get_running_loop().add_signal_handler(number, going.cancel)
    target, places = allowed(session.control, session.target(arguments.target).name, arguments.host)
    if len(places) > 1 and not (arguments.all or arguments.host):
        names = ", ".join(place.name for place in places)
        raise UsageError(f"{target.name} has {len(places)} hosts: say which with --host ({names}), or --all")
    words = await words_of(session.journal, target, session.fleet.file.parent, arguments.behind)
    backend = open_backend(session.fleet)
    if arguments.all:
        places = await spread(backend, target, places)
    runner = _Exec(session, arguments, target, words, backend)
    if len(places) == 1 and not arguments.all:
        return await runner.on_one(places[0])
    return await runner.on_all(places)


class _Exec:
    def __init__(
        self,
        session: "Session",
        arguments: argparse.Namespace,
        target: "Target",
        words: "Words",
        backend: "HostBackend",
    ) -> None:
        from quarterdeck.rollouts.executing import LIMIT

        self._session = session
        self._arguments = arguments
        self._target = target
        self._words = words
        self._backend = backend
        self._limit: float = arguments.timeout or LIMIT
        self._widest = 12  # characters of a place's name before each line
        self._as_lines = not arguments.raw and (session.printer.json or sys.stdout.isatty())

    async def on_one(self, place: "Place") -> int:
        """Raises BackendError but for a command whose time was over."""
        from quarterdeck.tui.cli.typing_in import LocalTerminal, standard_input

        with LocalTerminal.where(self._session.printer.json or self._arguments.raw) as terminal:
            if terminal is not None:
                pieces = self._begin(place, self._arguments.timeout, input=terminal.typed(), terminal=terminal.told())
                return await self._pass_on(place, pieces, as_lines=False)
            input_ = None if sys.stdin is None or sys.stdin.isatty() else standard_input()
            return await self._pass_on(place, self._begin(place, self._limit, input=input_), as_lines=self._as_lines)

    async def on_all(self, places: "list[Place]") -> int:
        """At once on all; a place that can't do it is named, and the others go on. The highest status."""
        from quarterdeck.backends.errors import BackendError
        from quarterdeck.tui.cli.exits import explain

        self._widest = max(self._widest, *(len(place.name) for place in places))

        async def one(place: "Place") -> int:
            try:
                return await self._pass_on(place, self._begin(place, self._limit), as_lines=True, named=True)
            except BackendError as error:
                explanation = explain(error)
                text = place.named_in(explanation.text)
                self._session.printer.say(f"qd: {text}", "bad")
                self._session.printer.record({"host": place.name, "error": text})
                return explanation.status

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(place)) for place in places]
        return max(task.result() for task in tasks)

    def _begin(
        self,
        place: "Place",
        deadline: float | None,
        input: "Typed | None" = None,
        terminal: "Terminal | None" = None,
    ) -> "AsyncGenerator[Printed | Exited, None]":
        from quarterdeck.rollouts.executing import run_on

        return run_on(
            self._backend,
            self._session.journal,
            self._target,
            place,
            self._arguments.behind,
            self._words,
            deadline=deadline,
            input=input,
            terminal=terminal,
        )

    async def _pass_on(
        self,
        place: "Place",
        pieces: "AsyncGenerator[Printed | Exited, None]",
        *,
        as_lines: bool,
        named: bool = False,
    ) -> int:
        from quarterdeck.backends.errors import CommandTimedOut
        from quarterdeck.backends.hosts.contract import Printed
        from quarterdeck.rollouts.executing import Lines

        lines = {error: Lines(self._words.masker) for error in (False, True)}
        status = 0
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if not isinstance(piece, Printed):
                        status = piece.status
                    elif as_lines:
                        self._show(place, lines[piece.error].take(piece.data), error=piece.error, named=named)
                    else:
                        await asyncio.to_thread(_write, 2 if piece.error else 1, piece.data)
        except CommandTimedOut as error:
            self._session.printer.say(f"qd: {place.named_in(str(error))}", "bad")
            status = TIMED_OUT
        finally:
            for error_stream, rest in lines.items():
                self._show(place, rest.end(), error=error_stream, named=named)
        self._session.printer.record({"host": place.name, "exit_status": status})
        return status

    def _show(self, place: "Place", lines: list[str], *, error: bool, named: bool) -> None:
        printer = self._session.printer
        for line in lines:
            printer.record({"host": place.name, "stream": "error" if error else "output", "text": line})
            text = f"{place.name:<{self._widest}} {line}" if named else line
            if not error:
                printer.line(text)
            elif not printer.json:
                printer.say(text)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
