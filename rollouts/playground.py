"""The playground for ``qd demo``: which fleet file it has, starting, loading and removing it, and shipping to all of
it.

Everything is shipped by real rollouts, through the same Control as every other command.
"""

import os
import signal
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quarterdeck.backends.playground import BadVersions, Playground
    from quarterdeck.backends.playground.load import LoadReport
    from quarterdeck.config.model import Fleet
    from quarterdeck.history.records import Rollout
    from quarterdeck.rollouts.control import Control

SHIPPING = 120.0  # seconds for one version on all targets
BESIDE = 20.0  # seconds more for one that nothing waits for: then it goes on without anybody looking


def running_fleet_file() -> Path | None:
    """The fleet file of the playground that runs for this user, None when there is none."""
    from quarterdeck.backends.playground.lifecycle import default_directory, describe, is_running

    if not (default_directory() / "fleet.yml").exists() or not is_running():
        return None
    return describe().fleet_file


def up() -> "Playground":
    """Starts it, or gives the one that runs. Raises PlaygroundError."""
    from quarterdeck.backends.playground import start

    return start()


def down() -> bool:
    """Removes it with all its processes; False when there was none. Raises PlaygroundError."""
    from quarterdeck.backends.playground import default_directory, is_running, stop

    if is_running():
        _end_workers(default_directory() / "state")
    return stop()


def running() -> "Playground":
    """Raises PlaygroundError when there is none."""
    from quarterdeck.backends.playground import describe

    return describe()


def bad_versions() -> "BadVersions":
    """Which versions of the playground's services are bad, and how."""
    from quarterdeck.backends.playground import bad_versions

    return bad_versions()


async def send_traffic(
    target: str, *, seconds: float, rate: float, progress: "Callable[[LoadReport], None]"
) -> "LoadReport":
    """``rate`` requests a second to the target's hosts, for ``seconds``; ``progress`` once a second. Raises PlaygroundError."""
    from quarterdeck.backends.playground.load import load

    return await load(None, target, seconds=seconds, rate=rate, progress=progress)


def _end_workers(state: Path) -> None:
    """Workers of rollouts on the playground: their hosts are about to vanish. Only a process that still is that
    worker is ended."""
    from quarterdeck.history.errors import JournalError
    from quarterdeck.history.identity import process_identity
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.lease import lock_is_held
    from quarterdeck.history.records import ENDED

    try:
        journal = Journal.open(state, create=False, read_only=True)
    except JournalError:
        return
    with journal:
        for rollout in journal.rollouts(limit=50):
            worker = journal.worker(rollout.id)
            if rollout.state in ENDED or worker is None or not lock_is_held(state, rollout.id):
                continue
            try:
                descriptor = os.pidfd_open(worker.pid)
            except OSError:
                continue
            try:
                if process_identity(worker.pid) == (worker.start_ticks, worker.boot_id):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except OSError:
                continue
            finally:
                os.close(descriptor)


def ship_everywhere(
    control: "Control",
    version: str,
    reason: str,
    said: "Callable[[Rollout], None]",
    *,
    targets: Sequence[str] | None = None,
    beside: Collection[str] = (),
) -> "list[Rollout]":
    """Deploys ``version`` to every target: environments in their order of promotion, everything else side by side.

    ``said`` is told of each rollout that has ended, or stands still until a person says something. Returns those that did not
    succeed; nothing further is begun after one. A release that an earlier story left as bad is shipped all the same. ``beside``:
    targets that nothing else waits for, and whose failure is said and stops nothing; where one of them is under way, it is left alone.
    """
    from quarterdeck.history.records import ENDED, RolloutState
    from quarterdeck.rollouts.awaiting import await_state

    def ship(names: Sequence[str]) -> "list[Rollout]":
        return [control.arm_deploy(name, version, reason=reason, force=True, detached_go=True) for name in names]

    failed: list[Rollout] = []
    names = list(control.fleet.targets) if targets is None else list(targets)
    others = ship([name for name in names if name in beside and control.journal.active(name) is None])
    names = [name for name in names if name not in beside]
    for environments in order_of_promotion(control.fleet):
        begun = ship([name for name in names if control.fleet.targets[name].environment in environments])
        for rollout in begun:
            ended = await_state(control.journal, rollout.id, {*ENDED, RolloutState.PAUSED}, SHIPPING)
            now = ended or control.journal.rollout(rollout.id)
            said(now)
            if now.state is not RolloutState.SUCCEEDED:
                failed.append(now)
        if failed:
            break
    for rollout in others:
        ended = await_state(control.journal, rollout.id, ENDED, BESIDE)
        said(ended or control.journal.rollout(rollout.id))
    return failed


def order_of_promotion(fleet: "Fleet") -> list[list[str]]:
    """Groups of environments: those of a group wait for nobody but the groups before it (``after``)."""
    groups: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(fleet.environments):
        group = [
            name
            for name, environment in fleet.environments.items()
            if name not in placed and (environment.after is None or environment.after in placed)
        ]
        if not group:  # a circle, which the loader refuses: nothing may loop here for ever
            group = [name for name in fleet.environments if name not in placed]
        groups.append(group)
        placed.update(group)
    return groups
