"""Promise 16: a canary among the secrets of a service on an engine, through deploys, a failing release that prints it, hooks that print
it, a rollback and the control room: it is in no journal, log, label, argument of a process, command's output or screen.

It is where it has to be: in the container's environment, and in its secret file. Taken out: without the mask (``Work.masker``,
``Gate.hide``) the hooks' outputs and the failure's words show it.
"""

import contextlib
import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker_fleet import DockerField, push
from tests.driver import TARGET
from tests.room.terminal import Terminal
from tests.trust.recording import Promises
from tests.trust.test_16_masking import CANARIES, ENCODINGS

pytestmark = [pytest.mark.trust(16), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]

IN_ENVIRONMENT, IN_FILE = CANARIES["url"], CANARIES["plain"]
PIECES = [
    encode(secret).strip().encode()
    for secret in (IN_ENVIRONMENT, IN_FILE)
    for name, encode in ENCODINGS.items()
    if name not in ("base64 by the program, in lines", "traced by sh", "traced by bash")
]
SETTLED = 50  # looks
PRINTS = 'echo "url is $DATABASE_URL"; echo "token is $(cat /run/secrets/TOKEN)"'


def found_in(content: bytes) -> list[bytes]:
    return [piece for piece in PIECES if piece in content]


@contextlib.contextmanager
def watched_arguments() -> Iterator[list[str]]:
    """Command lines of processes that held a canary at any look; the looks follow each other without a pause. A process whose line was the
    same for fifty looks is looked at at every fiftieth."""
    seen: list[str] = []
    ended = threading.Event()
    known: dict[str, tuple[bytes, int]] = {}  # its line, and for how many looks it has been that

    def look() -> None:
        nonlocal known
        for turn in itertools.count():
            if ended.wait(0.02):
                return
            entries = list(filter(str.isdigit, os.listdir("/proc")))
            known = {entry: known[entry] for entry in entries if entry in known}
            for entry in entries:
                before, looks = known.get(entry, (b"", 0))
                if looks >= SETTLED and turn % SETTLED:
                    continue
                with contextlib.suppress(OSError):
                    line = Path("/proc", entry, "cmdline").read_bytes()
                    known[entry] = (line, looks + 1 if line == before else 0)
                    if line != before and found_in(line):
                        seen.append(line.decode(errors="replace"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def without_environment(body: dict[str, Any]) -> bytes:
    body["Config"].pop("Env")
    return json.dumps(body, ensure_ascii=False).encode()


def test_a_canary_is_nowhere_to_be_seen(docks: DockerField, promise: Promises) -> None:
    secrets = docks.directory / "secrets"
    secrets.mkdir()
    (secrets / "url").write_text(IN_ENVIRONMENT)
    (secrets / "token").write_text(IN_FILE)
    engine = docks.engines[0]
    docks.engines = docks.engines[:1]
    repository = "shop/talks"
    for tag in ("1", "2"):
        push(docks.registry, engine, tag, repository)
    push(docks.registry, engine, "loud", repository, command=["sh", "-c", f"{PRINTS}; exit 3"])
    docks.container = {"secrets": ["TOKEN"]}
    hooks = {
        "after": [{"run": PRINTS, "where": "each", "on_rollback": f"{PRINTS}; true"}],
    }
    docks.write(
        artifact={"image": f"{docks.registry.name}/{repository}"},
        secrets={"DATABASE_URL": {"file": str(secrets / "url")}, "TOKEN": {"file": str(secrets / "token")}},
        hooks=hooks,
    )
    said: list[str] = []

    def qd(*arguments: str) -> None:
        done = docks.qd(*arguments)
        said.extend((done.stdout, done.stderr))

    with watched_arguments() as arguments:
        qd("deploy", TARGET, "1", "--wait")
        qd("deploy", TARGET, "2", "--wait")
        assert docks.running() == ["2"], said
        assert f"DATABASE_URL={IN_ENVIRONMENT}" in docks.live(engine)["Config"]["Env"], "it is where it has to be"
        shown = docks.qd("deploy", TARGET, "loud", "--wait")
        said.extend((shown.stdout, shown.stderr))
        assert shown.returncode == 3
        assert "ended with status 3" in shown.stdout + shown.stderr
        docks.write(hooks={"after": [{"run": f"{PRINTS}; exit 7", "where": "each"}]})
        qd("deploy", TARGET, "1", "--wait", "--force", "--reason", "a hook that fails")
        docks.write(hooks=hooks)
        qd("rollback", TARGET, "--yes", "--wait", "--to", "1")
        for command in (("status", "--json"), ("doctor",), ("history", "--json"), ("releases", TARGET, "--json")):
            qd(*command)
    assert docks.running() == ["1"], said
    assert arguments == []

    environment = {**os.environ, "XDG_STATE_HOME": str(docks.directory / "xdg"), "TERM": "xterm-256color"}
    for name in ("TMUX", "COLUMNS", "LINES"):
        environment.pop(name, None)
    with Terminal([*docks.command(), TARGET], size=(160, 50), environment=environment) as terminal:
        terminal.wait_for("qd")
        terminal.wait_until(lambda: "LIVE" in terminal.rows[0], "the journal to be read")
        for tab in "12":
            terminal.send(tab)
        terminal.send("q")
        screen = bytes(terminal.received)

    assert found_in("\n".join(said).encode()) == []
    assert found_in(screen) == []
    assert "***" in "\n".join(said) or any("***" in path.read_text(errors="replace") for path in _files(docks))
    for path in _files(docks):
        assert found_in(path.read_bytes()) == [], path
    for one in docks.containers(engine):
        assert found_in(without_environment(engine.client.inspect_container(one["Id"]))) == [], one["Names"]
    volumes = json.dumps(engine.client.volumes(), ensure_ascii=False).encode()
    assert found_in(volumes) == []
    assert found_in(engine.log.encode()) == []
    promise(16).count("encodings searched for on an engine", len(PIECES))


def _files(docks: DockerField) -> list[Path]:
    """All that the fleet file and the state directory are beside: journal, workers' logs, caches."""
    return [path for path in docks.directory.rglob("*") if path.is_file() and "secrets" not in path.parts]
