"""Drives the real `qd` on a fleet file and reads its journal, whatever kind of hosts the fleet has."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import ENDED, Rollout, RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.drills.asking import arm_drill
from tests.sshd import wait_for

TARGET = "staging/web"


class Driver:
    """``directory`` holds the fleet file and the state. ``running`` is what the hosts themselves say."""

    directory: Path
    longest = 180.0
    """Seconds that a command may take, on a busy machine."""

    def running(self) -> list[str | None]:
        """The version that runs on each host; «mixed» where that is not clear."""
        raise NotImplementedError

    @property
    def file(self) -> Path:
        return self.directory / "fleet.yml"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def fleet(self) -> Fleet:
        return load_fleet(self.file)

    def journal(self, *, read_only: bool = False) -> Journal:
        return Journal.open(self.state, operator=current_operator(), read_only=read_only)

    def qd(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        status: int | None = None,
        timeout: float | None = None,
        input: str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the real command, without a terminal. ``status``: the exit status that it must end with."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout or self.longest,
            input=input,
            env={**os.environ, **(environment or {})},
        )
        if status is not None:
            assert done.returncode == status, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(self.file), *arguments]

    def deploy(self, version: str, *, status: int = 0, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """``qd deploy --wait --json``; gives the last document."""
        done = self.qd("deploy", TARGET, version, "--wait", "--json", *arguments, status=status)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def rollback(self, *, status: int = 0, arguments: Sequence[str] = ()) -> dict[str, Any]:
        done = self.qd("rollback", TARGET, "--yes", "--wait", "--json", *arguments, status=status)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def begin(self, kind: str, version: str | None = None, **options: Any) -> int:
        """Arms a rollout that goes by itself, as the command does; gives its id at once."""
        with self.journal() as journal:
            control = Control(self.fleet(), journal, current_operator())
            if kind == "deploy":
                assert version is not None
                return control.arm_deploy(TARGET, version, detached_go=True, **options).id
            if kind == "drill":
                return arm_drill(control, TARGET, detached_go=True, **options).id
            return control.arm_rollback(TARGET, to=version, detached_go=True, **options).id

    def ended(self, rollout: int, deadline: float = 120.0) -> Rollout:
        return self.until(rollout, lambda now: now.state in ENDED, deadline)

    def until(self, rollout: int, condition: Callable[[Rollout], bool], deadline: float = 90.0) -> Rollout:
        with self.journal(read_only=True) as journal:
            wait_for(lambda: condition(journal.rollout(rollout)), f"rollout {rollout}", deadline)
            return journal.rollout(rollout)

    def watch(self, holds: Callable[[Journal], object], what: str, deadline: float = 90.0) -> None:
        """Waits until it ``holds`` of the journal. It is opened once: that costs what a hundred looks do. Raises ``TimeoutError``."""
        with self.journal(read_only=True) as journal:
            wait_for(lambda: holds(journal), what, deadline)

    def verdict(self, version: str) -> str:
        """untried, good or bad."""
        with self.journal(read_only=True) as journal:
            return next(row.verdict for row in journal.releases(TARGET) if row.release.version == version)

    def worker_has_left(self, now: Rollout) -> bool:
        """Whether its worker, who had begun, has died or left. For ``until``."""
        return now.pid is not None and not lock_is_held(self.state, now.id)

    def quiet(self, rollout: int) -> None:
        """Its worker is gone: cleaning up comes after the end."""
        wait_for(lambda: not lock_is_held(self.state, rollout), f"the worker of rollout {rollout} to end", 60)

    def in_state(self, rollout: int, state: RolloutState, deadline: float = 90.0) -> Rollout:
        return self.until(rollout, lambda now: now.state is state, deadline)

    def worker_pid(self, rollout: int, deadline: float = 90.0) -> int:
        found = self.until(rollout, lambda now: now.pid is not None, deadline)
        assert found.pid is not None
        return found.pid

    def kill_worker(self, rollout: int) -> None:
        os.kill(self.worker_pid(rollout), signal.SIGKILL)
