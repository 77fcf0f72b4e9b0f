"""Promise 16: a canary among the secrets of a service on an engine, through deploys, a failing release that prints it, hooks that print
it, a rollback and the control room: it is in no journal, log, label, argument of a process, command's output or screen.

It is where it has to be: in the container's environment, and in its secret file. Taken out: without the mask (``Work.masker``,
``Gate.hide``) the hooks' outputs and the failure's words show it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.docker_fleet import DockerField, push
from tests.driver import TARGET
from tests.room.terminal import Terminal
from tests.trust.canaries import Canaries, of_this_run
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(16), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]

IN_ENVIRONMENT, IN_FILE = of_this_run("url"), of_this_run("plain")
SECRETS = Canaries(IN_ENVIRONMENT, IN_FILE)
PRINTS = 'echo "url is $DATABASE_URL"; echo "token is $(cat /run/secrets/TOKEN)"'


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

    with SECRETS.watched_arguments() as arguments:
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
    assert arguments.with_one == []

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

    assert SECRETS.found_in("\n".join(said).encode()) == []
    assert SECRETS.found_in(screen) == []
    assert "***" in "\n".join(said) or any("***" in path.read_text(errors="replace") for path in _files(docks))
    assert SECRETS.files_with_one(_files(docks)) == {}
    for one in docks.containers(engine):
        assert SECRETS.found_in(without_environment(engine.client.inspect_container(one["Id"]))) == [], one["Names"]
    volumes = json.dumps(engine.client.volumes(), ensure_ascii=False).encode()
    assert SECRETS.found_in(volumes) == []
    assert SECRETS.found_in(engine.log.encode()) == []
    promise(16).count("encodings searched for on an engine", len(SECRETS.pieces))


def _files(docks: DockerField) -> list[Path]:
    """All that the fleet file and the state directory are beside: journal, workers' logs, caches."""
    return [path for path in docks.directory.rglob("*") if path.is_file() and "secrets" not in path.parts]
