"""The worker's process: waits for the line that names its rollout, connects to its hosts, takes the rollout's lock, runs it, leaves.

What connecting needs is loaded first, and the rest while the line is waited for and the hosts answer. Which kind of hosts it will be is a
guess of whoever started it: what another kind needs is loaded when there is one.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

GARBAGE = 20_000  # objects between two looks for garbage: loading modules makes many, and leaves none behind


def main() -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    gc.set_threshold(GARBAGE, 20, 20)
    # The libraries load while the command that started this process still reads its fleet file.
    import quarterdeck.backends.hosts.opening
    import quarterdeck.rollouts.worker.crew
    from quarterdeck.rollouts.spawn import FOR_ENGINES

    if FOR_ENGINES in sys.argv[1:]:
        import quarterdeck.backends.hosts.docker.connection
    else:
        from quarterdeck.backends.hosts.ssh.loading import load_asyncssh

        load_asyncssh()
        import quarterdeck.backends.hosts.ssh.backend  # noqa: F401

    rest = threading.Thread(target=_load_the_rest, name="loading", daemon=True)
    rest.start()
    line = sys.stdin.buffer.readline()
    if not line.strip():
        os._exit(0)  # nothing was begun; the thread may be in the middle of an import
    task = json.loads(line)
    state, rollout = Path(task["state"]), int(task["rollout"])
    _log_to(state, rollout)
    try:
        return asyncio.run(_connect_and_run(state, rollout, task, rest))
    except Exception:
        logging.getLogger("quarterdeck.worker").exception(
            "the worker ended on an error of its own, rollout=%d", rollout
        )
        return 1


def _load_the_rest() -> None:
    import msgspec  # noqa: F401

    import quarterdeck.rollouts.worker.session  # noqa: F401


async def _connect_and_run(state: Path, rollout: int, task: dict[str, Any], rest: threading.Thread) -> int:
    """Exit status of the process. Connecting changes nothing, so it needs neither the rollout's lock nor the journal."""
    import msgspec

    from quarterdeck.backends.hosts.opening import Hosts
    from quarterdeck.config.model import RegistryLogin
    from quarterdeck.config.registries import RegistryLogins
    from quarterdeck.rollouts.worker.crew import Crew, Known

    backend = Hosts(
        ssh_config=tuple(Path(path) for path in task["ssh_config"]),
        known_hosts=tuple(Path(path) for path in task["known_hosts"]),
        logins=RegistryLogins(msgspec.convert(task["registries"], dict[str, RegistryLogin]), Path(task["base"])),
        fleet=task["fleet"],
    )
    crew = Crew(
        backend,
        [Known(name, ssh, docker, tls, tuple(swarm), nodes) for name, ssh, docker, tls, swarm, nodes in task["hosts"]],
    )
    crew.connect_all()
    try:
        await asyncio.to_thread(rest.join)
        from quarterdeck.rollouts.worker.session import run

        return await run(state, rollout, backend, crew)
    finally:
        await crew.close()


def _log_to(state: Path, rollout: int) -> None:
    from contextlib import suppress

    from quarterdeck.history.place import Place
    from quarterdeck.rollouts.spawn import artifact_cache, worker_log

    path = worker_log(state, rollout)
    try:
        # Another operator of a shared directory may take the rollout over, and use what was fetched for it.
        place = Place(state)
        place.make_directory(path.parent)
        place.make_directory(artifact_cache(state))
        place.make_file(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError as error:
        _tell_of_no_log(state, rollout, path, error)  # a rollback does not wait for somebody to mend that
    else:
        with suppress(OSError):
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
        os.close(descriptor)
    from quarterdeck.rollouts.worker.own_log import own_log

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(own_log)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


def _tell_of_no_log(state: Path, rollout: int, path: Path, error: OSError) -> None:
    """A note in the journal, which whoever follows the rollout sees. Raises nothing."""
    from contextlib import suppress

    from quarterdeck.history.errors import JournalError
    from quarterdeck.history.identity import current_operator
    from quarterdeck.history.journal import Journal

    with suppress(JournalError), Journal.open(state, operator=current_operator(), create=False) as journal:
        target = journal.rollout(rollout).target
        journal.note(f"the worker goes on without a log: {path}: {error.strerror}", target, rollout)


if __name__ == "__main__":
    sys.exit(main())
