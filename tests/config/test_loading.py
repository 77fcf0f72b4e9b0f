"""Loading is light, the same with and without the C parser, and a large fleet loads whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet

FOLDER = Path(__file__).resolve().parents[2] / "config" / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.yml") if path.name != "settings.yml")  # that one is no fleet file


def test_importing_the_loader_imports_nothing_heavy() -> None:
    program = (
        "import sys, quarterdeck.config.load, quarterdeck.config.locate, quarterdeck.config.names\n"
        "heavy = {'jsonschema', 'asyncio', 'asyncssh', 'httpx', 'hypothesis', 'textual', 'ssl', 'http.client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_python_parser_reads_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = load_fleet(path)
    monkeypatch.setattr("yaml.__with_libyaml__", False)
    assert load_fleet(path) == fast


def test_a_hundred_services_in_five_environments(tmp_path: Path) -> None:
    lines = ["fleet: large", "hosts:", *(f"  h{n}: {{ssh: deploy@h{n}}}" for n in range(100)), "environments:"]
    lines += [f"  e{n}: {{hosts: [{', '.join(f'h{n * 20 + m}' for m in range(20))}]}}" for n in range(5)]
    lines += ["services:"]
    for number in range(100):
        lines += [
            f"  s{number}:",
            f'    artifact: {{tarball: "s{number}-{{version}}.tgz"}}',
            f"    path: /srv/s{number}",
            f"    unit: s{number}.service",
            "    health: {http: {port: 8080}, interval: 2s}",
            "    env: {A: 1, B: on}",
            f"    environments: {{{', '.join(f'e{n}: {{env: {{C: e{n}}}}}' for n in range(5))}}}",
        ]
    path = tmp_path / "fleet.yml"
    path.write_text("\n".join(lines))
    fleet = load_fleet(path)
    assert len(fleet.targets) == 500
    assert fleet.targets["e3/s42"].env == {"A": "1", "B": "on", "C": "e3"}
