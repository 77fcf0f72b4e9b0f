"""What needs no engine does not pay for one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def modules_after(statements: str) -> set[str]:
    script = f"{statements}\nimport sys\nprint(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    return set(told.stdout.split())


def test_the_sdk_is_imported_only_where_an_engine_is_opened() -> None:
    without = modules_after(
        "import quarterdeck.backends.hosts.docker.backend, quarterdeck.backends.hosts.docker.place\n"
        "quarterdeck.backends.hosts.docker.backend.DockerBackend(lambda: None)"
    )
    assert not without & {"docker", "requests", "urllib3", "asyncssh"}
    assert "docker" in modules_after("import quarterdeck.backends.hosts.docker.engine")


def test_an_engine_at_a_socket_needs_no_ssh() -> None:
    assert "asyncssh" not in modules_after("import quarterdeck.backends.hosts.docker.engine")
