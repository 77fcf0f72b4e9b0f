"""Starting a detached worker: in a session of its own, without a terminal, its output in a log file beside the journal.

A worker may be started before its rollout is known, so that it loads its libraries meanwhile: it waits for one line
on its standard
input that says which rollout is its own, and leaves when the line does not come.

Imports next to nothing: a command that will need a worker starts it before it loads anything else.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LINGER = "/var/lib/systemd/linger"
FOR_ENGINES = "for-engines"
BOOTED = "/run/systemd/system"


class WaitingWorker:
    """A started worker that has no rollout yet. It leaves when it is dismissed, or when this process ends without having
    given it one."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def assign(self, state: "Path", rollout: int, hosts: Sequence[Sequence[object]], options: dict[str, Any]) -> None:
        """Hands over the rollout, with what the worker needs to connect before it has opened the journal: ``hosts``: name, and how it
        is reached (``ssh``, ``docker``, ``tls``, ``swarm``, ``nodes`` of ``config.model.Host``). Raises ``OSError`` when the worker is
        gone already."""
        import json

        task = {
            "state": str(state),
            "rollout": rollout,
            "hosts": [list(host) for host in hosts],
            "ssh_config": options["ssh_config"],
            "known_hosts": options["known_hosts"],
            "registries": options.get("registries", {}),
            "fleet": options.get("fleet", ""),
            "base": options["base"],
        }
        assert self._pipe is not None
        number, self._pipe = self._pipe, None
        with os.fdopen(number, "wb") as pipe:
            pipe.write(json.dumps(task).encode() + b"\n")

    def dismiss(self) -> None:
        """Lets it leave without having done anything. Does nothing where it has a rollout."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def start_worker(*, for_engines: bool = False) -> WaitingWorker:
    """Starts a worker process that outlives this terminal. ``for_engines``: it will probably have to do with Docker engines, and with no
    host over SSH, so that it loads what those need while it waits. Raises ``OSError`` when no process can be made."""
    # -P: nothing that lies in the operator's directory is imported.
    command = [*survivor_prefix(), sys.executable, "-P", "-m", "quarterdeck.rollouts.worker"]
    command += [FOR_ENGINES] if for_engines else []
    reading, writing = os.pipe()
    try:
        # posix_spawn and no Popen: importing subprocess would take longer than starting the process. The worker outlives this
        # process on purpose: nobody waits for it.
        os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_CLOSE, number) for number in _inherited()),
            ],
            setsid=True,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return WaitingWorker(writing)


def _inherited() -> list[int]:
    """What whoever started this process left open in it (a lock, a pipe): none of the worker's business."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(number)
        except OSError:
            continue  # the directory itself, closed again
    return found


def survivor_prefix(
    *,
    booted: "Path | str" = BOOTED,
    linger: "Path | str" = LINGER,
    user: str | None = None,
    environment: dict[str, str] | None = None,
) -> list[str]:
    """``systemd-run`` where logind would otherwise end everything of a session that closes (KillUserProcesses=yes);
    else nothing.

    Only with lingering on does the user's own manager outlive the last session; ``qd doctor`` says so when it is off.
    """
    environment = dict(os.environ) if environment is None else environment
    if not os.path.isdir(booted) or os.geteuid() == 0 or "XDG_RUNTIME_DIR" not in environment:
        return []
    name = user or environment.get("USER") or environment.get("LOGNAME") or ""
    manager = os.path.join(environment["XDG_RUNTIME_DIR"], "systemd/private")
    if not name or not os.path.exists(os.path.join(linger, name)) or not os.path.exists(manager):
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]


def artifact_cache(state: "Path") -> "Path":
    return state / "artifacts"


def worker_log(state: "Path", rollout: int) -> "Path":
    return state / "workers" / f"rollout-{rollout}.log"
