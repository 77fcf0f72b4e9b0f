"""What a worker loads while it waits for its rollout: what the fleet's kind of hosts needs, and nothing of the other kind."""

import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.config.glance import seems_of_engines
from quarterdeck.rollouts.spawn import FOR_ENGINES

ROOT = Path(__file__).parents[2]
ENGINES = "hosts:\n  box-1: {docker: 'unix:///run/docker.sock'}  # not over ssh\n"
SSH = "hosts:\n  box-1: {ssh: deploy@10.0.0.1}\n"
FORWARDED = "hosts:\n  box-1:\n    docker: ssh://deploy@10.0.0.1\n"
BOTH = f"{ENGINES}  box-2: {{ssh: deploy@10.0.0.1}}\n"
JSON = '{"hosts": {"box-1": {"docker": "tcp://127.0.0.1:2375"}}}'


def loaded(*arguments: str) -> str:
    """What Python says of the imports of a worker that is given no rollout."""
    command = [sys.executable, "-X", "importtime", "-P", "-m", "quarterdeck.rollouts.worker", *arguments]
    done = subprocess.run(
        command, input="", capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT)}, check=True
    )
    return done.stderr


def test_a_worker_for_engines_loads_no_ssh() -> None:
    said = loaded(FOR_ENGINES)
    assert "asyncssh" not in said
    assert "docker.api.client" in said


def test_any_other_worker_loads_it_ahead_and_not_the_sdk() -> None:
    said = loaded()
    assert "asyncssh" in said
    assert "docker.api.client" not in said


def test_what_sends_notifications_is_loaded_where_something_is_sent() -> None:
    code = "import quarterdeck.rollouts.worker.crew, quarterdeck.rollouts.worker.session, quarterdeck.config.load"
    command = [sys.executable, "-X", "importtime", "-P", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT)}, check=True
    )
    assert "quarterdeck.rollouts.worker.telling" in done.stderr
    for name in ("apprise", "quarterdeck.backends.notify", "quarterdeck.rollouts.telling", "metric_templates"):
        assert name not in done.stderr


@pytest.mark.parametrize(
    ("text", "of_engines"),
    [(ENGINES, True), (JSON, True), (SSH, False), (FORWARDED, False), (BOTH, False), ("", False)],
)
def test_a_glance_at_the_fleet_file_guesses_which(tmp_path: Path, text: str, of_engines: bool) -> None:
    file = tmp_path / "fleet.yml"
    file.write_text(text)
    assert seems_of_engines(["deploy", "production/api", "2", "--fleet", str(file)]) is of_engines
    assert seems_of_engines(["deploy", f"--fleet={file}"]) is of_engines


def test_where_no_fleet_file_is_nothing_is_guessed(tmp_path: Path) -> None:
    assert not seems_of_engines(["deploy", "--fleet", str(tmp_path / "none.yml")])
    assert not seems_of_engines(["deploy", "--fleet", str(tmp_path)])
    assert not seems_of_engines(["deploy", "--fleet"])
