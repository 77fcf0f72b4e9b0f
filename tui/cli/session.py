"""What a command works with: the printer, the fleet, the journal, the operator and the control, each made when first used."""

import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.tui.cli.exits import UsageError
from quarterdeck.tui.cli.printing import Printer

if TYPE_CHECKING:
    from quarterdeck.config.model import Fleet, Target
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.records import Operator, Rollout
    from quarterdeck.rollouts.control import Control
    from quarterdeck.rollouts.spawn import WaitingWorker


class Session:
    """``fleet_file``: --fleet as typed. ``read_only``: the journal is opened for reading only. ``quiet``: says nothing by the way.
    ``worker``: one that was started ahead."""

    def __init__(
        self,
        printer: Printer | None = None,
        *,
        fleet_file: str | None = None,
        read_only: bool = False,
        debug: bool = False,
        quiet: bool = False,
        worker: "WaitingWorker | None" = None,
    ) -> None:
        self.printer = printer if printer is not None else Printer()
        self.fleet_file = fleet_file
        self.read_only = read_only
        self.debug = debug
        self.quiet = quiet
        self._worker = worker

    @cached_property
    def fleet_path(self) -> Path:
        """Where the fleet file is: --fleet, QD_FLEET, ./fleet.yml, the user's own, or that of a playground that runs."""
        from quarterdeck.config.locate import NoFleetFile, locate_fleet

        try:
            return locate_fleet(self.fleet_file)
        except NoFleetFile:
            from quarterdeck.rollouts.playground import running_fleet_file

            playground = running_fleet_file()
            if playground is None:
                raise
        if not self.quiet:
            self.printer.say(f"no fleet file here: using the running playground's, {playground}", "dim")
        return playground

    @cached_property
    def fleet(self) -> "Fleet":
        """Raises FleetFileErrors, NoFleetFile."""
        from quarterdeck.config.load import load_fleet

        return load_fleet(self.fleet_path)

    @cached_property
    def operator(self) -> "Operator":
        from quarterdeck.history.identity import current_operator

        return current_operator()

    @cached_property
    def journal(self) -> "Journal":
        """Raises JournalError and its kinds; Refused for somebody whom ``operators.view`` does not name."""
        from quarterdeck.history.journal import Journal
        from quarterdeck.rollouts.roles import may_look

        if not may_look(self.fleet.operators, self.operator):
            from quarterdeck.rollouts.refusals import Refused

            raise Refused(
                f"{self.operator.name} may not look at fleet {self.fleet.name}",
                "the fleet file's operators.view says who may",
            )
        return Journal.open(self.fleet.state, operator=self.operator, read_only=self.read_only)

    @cached_property
    def control(self) -> "Control":
        from quarterdeck.rollouts.control import Control

        return Control(self.fleet, self.journal, self.operator, worker=self._worker)

    def tend(self) -> None:
        """What policy says is done about rollouts whose worker died, before anything is told of them: no list may call
        one running that nobody works on. A journal that can't be written is told, and can still be read."""
        if self.read_only:
            return
        from quarterdeck.history.errors import JournalBusy, JournalFull

        try:
            self.control.tend()
        except (JournalBusy, JournalFull) as error:
            self.printer.say(f"qd: whether all that is under way has a worker could not be kept: {error}", "warn")

    def start_worker_ahead(self) -> None:
        """Starts the worker process now, so that it loads its libraries while the fleet file is read. It leaves when unused."""
        if self._worker is None:
            from quarterdeck.config.glance import seems_of_engines
            from quarterdeck.rollouts.spawn import start_worker

            self._worker = start_worker(for_engines=seems_of_engines(["--fleet", str(self.fleet_path)]))

    def target(self, name: str) -> "Target":
        """The declared target. Raises UnknownName with the nearest names."""
        from quarterdeck.config.names import find_target

        return find_target(self.fleet, name)

    def targets(self, name: str | None) -> list[str]:
        """Names of the targets of an environment, of the one target, or of the whole fleet (None)."""
        if name is None:
            return list(self.fleet.targets)
        if name in self.fleet.environments:
            return [target for target, declared in self.fleet.targets.items() if declared.environment == name]
        return [self.target(name).name]

    def rollout(self, word: str) -> "Rollout":
        """The rollout with that number, or the one that is under way on the target of that name."""
        if word.isascii() and word.isdigit():
            return self.journal.rollout(int(word))
        target = self.target(word)
        active = self.journal.active(target.name)
        if active is None:
            raise UsageError(f"nothing is under way on {target.name}; see: qd rollouts {target.name}")
        return active

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin is not None and sys.stdin.isatty()

    def ask(self, question: str) -> bool:
        """A yes/no question on the terminal; only y or yes is yes, an end of input is no."""
        self.printer.error.write(question + " [y/n] ")
        self.printer.error.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def close(self) -> None:
        if self._worker is not None:
            self._worker.dismiss()  # where nothing came of it
        if "journal" in self.__dict__:
            self.journal.close()
