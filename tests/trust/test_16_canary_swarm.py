"""Promise 16 on a Swarm: two canaries among the secrets of a service, through deploys, a failing release that prints them, hooks that print
them, a rollback and the control room: they are in no journal, log, label, config, argument of a process, command's output or screen.

Seen to fail as long as what hooks had printed was recorded in the Swarm although no manager tells the secret's value, so that it could
not be taken out. They are where they have to be: in the environment of the service's containers, and in a Swarm secret.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.driver import TARGET
from tests.room.terminal import Terminal
from tests.swarm_fleet import SwarmFleet
from tests.trust.canaries import Canaries, of_this_run
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(16), pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(900)]

IN_ENVIRONMENT, IN_FILE = of_this_run("url"), of_this_run("plain")
SECRETS = Canaries(IN_ENVIRONMENT, IN_FILE)
PRINTS = 'echo "url is $DATABASE_URL"; echo "token is $(cat /run/secrets/TOKEN)"'


def without_environment(value: Any) -> Any:
    """A body of the engine's API; variables can be read by whoever may ask a manager."""
    if isinstance(value, dict):
        return {key: without_environment(one) for key, one in value.items() if key != "Env"}
    return [without_environment(one) for one in value] if isinstance(value, list) else value


def test_a_canary_is_nowhere_to_be_seen(harbour: SwarmFleet, promise: Promises) -> None:
    swarm, secrets = harbour.swarm, harbour.directory / "secrets"
    secrets.mkdir()
    (secrets / "url").write_text(IN_ENVIRONMENT)
    (secrets / "token").write_text(IN_FILE)
    for tag in ("1", "2"):
        swarm.image("shop/talks", tag)
    swarm.image("shop/talks", "loud", command=["sh", "-c", f"{PRINTS}; exit 3"])
    harbour.container, harbour.placed = {"secrets": ["TOKEN"]}, {"replicas": 1}
    hooks = {"after": [{"run": PRINTS, "on_rollback": f"{PRINTS}; true"}]}
    harbour.write(
        artifact={"image": f"{swarm.registry}/shop/talks"},
        secrets={"DATABASE_URL": {"file": str(secrets / "url")}, "TOKEN": {"file": str(secrets / "token")}},
        hooks=hooks,
    )
    said: list[str] = []

    def qd(*arguments: str) -> int:
        done = harbour.qd(*arguments)
        said.extend((done.stdout, done.stderr))
        return done.returncode

    with SECRETS.watched_arguments() as arguments:
        assert qd("deploy", TARGET, "1", "--wait") == 0, said
        assert qd("deploy", TARGET, "2", "--wait") == 0, said
        container = harbour.spec()["TaskTemplate"]["ContainerSpec"]
        assert f"DATABASE_URL={IN_ENVIRONMENT}" in container["Env"], "it is where it has to be"
        assert [one["File"]["Name"] for one in container["Secrets"]] == ["/run/secrets/TOKEN"]
        assert qd("deploy", TARGET, "loud", "--wait") == 3, said
        assert "ended with status 3" in "".join(said[-2:])
        harbour.write(hooks={"after": [{"run": f"{PRINTS}; exit 7"}]})
        assert qd("deploy", TARGET, "1", "--wait", "--force", "--reason", "a hook that fails") == 3, said
        harbour.write(hooks=hooks)
        assert qd("rollback", TARGET, "--yes", "--wait", "--to", "1") == 0, said
        assert harbour.versions() == ["1"]
        for command in (("status", "--json"), ("doctor",), ("history", "--json"), ("releases", TARGET, "--json")):
            qd(*command)
        bodies = _bodies(harbour)
    assert arguments.with_one == []

    environment = {**os.environ, "XDG_STATE_HOME": str(harbour.directory / "xdg"), "TERM": "xterm-256color"}
    for name in ("TMUX", "COLUMNS", "LINES"):
        environment.pop(name, None)
    with Terminal([*harbour.command(), TARGET], size=(160, 50), environment=environment) as terminal:
        terminal.wait_for("qd")
        terminal.wait_until(lambda: "LIVE" in terminal.rows[0], "the journal to be read")
        for tab in "12":
            terminal.send(tab)
        terminal.send("q")
        screen = bytes(terminal.received)

    assert SECRETS.found_in("\n".join(said).encode()) == []
    assert SECRETS.found_in(screen) == []
    assert "***" in "\n".join(said) or any("***" in path.read_text(errors="replace") for path in _files(harbour))
    assert SECRETS.files_with_one(_files(harbour)) == {}
    for name, body in bodies.items():
        assert SECRETS.found_in(body) == [], name
    for node in swarm.nodes:
        assert SECRETS.found_in(swarm.log(node.index).encode()) == [], node.hostname
    promise(16).count("encodings searched for on a Swarm", len(SECRETS.pieces))


def _bodies(harbour: SwarmFleet) -> dict[str, bytes]:
    """All that the managers tell of the target, and the nodes of its containers, without variables."""
    client = harbour.swarm.any_api
    configs = client.configs()
    told = {"services": client.services(), "tasks": client.tasks(), "configs": configs, "secrets": client.secrets()}
    for node in harbour.swarm.nodes:
        engine = harbour.swarm.api(node.index)
        told[node.hostname] = [engine.inspect_container(one["Id"]) for one in engine.containers(all=True)]
    assert told["services"]
    assert told["secrets"]
    bodies = {name: json.dumps(without_environment(body), ensure_ascii=False).encode() for name, body in told.items()}
    return {**bodies, "texts of configs": b"".join(base64.b64decode(one["Spec"]["Data"]) for one in configs)}


def _files(harbour: SwarmFleet) -> list[Path]:
    """All that the fleet file and the state directory are beside: journal, workers' logs, caches."""
    return [path for path in harbour.directory.rglob("*") if path.is_file() and "secrets" not in path.parts]
