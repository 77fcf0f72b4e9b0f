"""Starting a detached worker: in a session of its own, without a terminal, its output in a log file beside the journal.

A worker may be started before its rollout is known, so that it loads its libraries meanwhile: it waits for one line
on its standard
input that says which rollout is its own, and leaves when the line does not come.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

LINGER = Path("/var/lib/systemd/linger")


class WaitingWorker:
    """A started worker that has no rollout yet. Exactly one of ``assign`` and ``dismiss`` is called."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def assign(self, state: Path, rollout: int) -> None:
        """Hands over the rollout. Raises ``OSError`` when the worker is gone already."""
        pipe = self._pipe()
        pipe.write(json.dumps({"state": str(state), "rollout": rollout}).encode() + b"\n")
        pipe.close()
        self._forget()

    def dismiss(self) -> None:
        """Lets it leave without having done anything."""
        self._pipe().close()
        self._forget()

    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _forget(self) -> None:
        # The worker outlives this process on purpose: nobody waits for it, so that Popen must not complain about it.
        self._process.returncode = 0


def start_worker() -> WaitingWorker:
    """Starts a worker process that outlives this terminal. Raises ``OSError`` when no process can be made."""
    command = [*survivor_prefix(), sys.executable, "-m", "quarterdeck.rollouts.worker"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        close_fds=True,
    )
    return WaitingWorker(process)


def survivor_prefix(
    *,
    booted: Path = Path("/run/systemd/system"),
    linger: Path = LINGER,
    user: str | None = None,
    environment: dict[str, str] | None = None,
) -> list[str]:
    """``systemd-run`` where logind would otherwise end everything of a session that closes (KillUserProcesses=yes);
    else nothing.

    Only with lingering on does the user's own manager outlive the last session; ``qd doctor`` says so when it is off.
    """
    environment = dict(os.environ) if environment is None else environment
    if not booted.is_dir() or os.geteuid() == 0 or "XDG_RUNTIME_DIR" not in environment:
        return []
    name = user or environment.get("USER") or environment.get("LOGNAME") or ""
    if not name or not (linger / name).exists() or not Path(environment["XDG_RUNTIME_DIR"], "systemd/private").exists():
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]


def artifact_cache(state: Path) -> Path:
    return state / "artifacts"


def worker_log(state: Path, rollout: int) -> Path:
    return state / "workers" / f"rollout-{rollout}.log"
