"""The worker's process: waits for the line that names its rollout, takes the rollout's lock, runs it, leaves."""

import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The libraries load while the command that started this process still reads its fleet file.
    from quarterdeck.rollouts.worker.session import run

    line = sys.stdin.buffer.readline()
    if not line.strip():
        return 0
    task = json.loads(line)
    state, rollout = Path(task["state"]), int(task["rollout"])
    _log_to(state, rollout)
    try:
        return run(state, rollout)
    except Exception:
        logging.getLogger("quarterdeck.worker").exception(
            "the worker ended on an error of its own, rollout=%d", rollout
        )
        return 1


def _log_to(state: Path, rollout: int) -> None:
    from quarterdeck.history.place import Place
    from quarterdeck.rollouts.spawn import artifact_cache, worker_log

    path = worker_log(state, rollout)
    # Another operator of a shared directory may take the rollout over, and use what was fetched for it.
    place = Place(state)
    place.make_directory(path.parent)
    place.make_directory(artifact_cache(state))
    place.make_file(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="time=%(asctime)s level=%(levelname)s logger=%(name)s pid=%(process)d %(message)s",
    )
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
