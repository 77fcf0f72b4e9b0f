"""Environment, service and override become one target; a fleet file may be spread over several files."""

import os
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Commands, Hooks, Keep, RollbackPolicy, Runner, SecretReference, Share, Strategy
from quarterdeck.config.problems import FleetFileErrors
from tests.config.conftest import Load, Refuse

LAYERS = """
fleet: acme
hosts: {a: {ssh: a}, b: {ssh: b}, c: {ssh: c}}
environments:
  dev: {hosts: [c]}
  production:
    hosts: [b, a]
    env: {ONE: environment, TWO: environment, THREE: environment}
    secrets: {KEY: {env: ENVIRONMENT_KEY}, OTHER: {env: ENVIRONMENT_OTHER}}
services:
  api:
    artifact: {tarball: "builds/api-{version}.tgz"}
    path: /srv//{service}/./x/
    unit: api.service
    env: {TWO: service, THREE: service}
    files: {a.ini: {content: service}, b/c.ini: {content: service, mode: 0600}}
    secrets: {KEY: {env: SERVICE_KEY}}
    keep: {releases: 9}
    strategy: {rolling: {max_unavailable: 25%, pause: 30s}}
    hooks: {before: [{run: migrate}]}
    environments:
      production:
        env: {THREE: override}
        files: {a.ini: {content: override}}
        strategy: {rolling: {batches: [1, 50%]}}
        hooks: {after: []}
        commands: {start: up, stop: down}
  web:
    artifact: {tarball: /builds/web.tgz}
    path: ~/web/{environment}
    unit: {name: web.service, user: true}
    logs: {files: ["/log/{environment}/{service}/*.log"]}
    environments: {dev: null}
"""


def test_env_secrets_and_files_are_merged_and_all_else_is_replaced(load: Load) -> None:
    fleet = load(LAYERS)
    dev, production = fleet.targets["dev/api"], fleet.targets["production/api"]
    assert dev.env == {"TWO": "service", "THREE": "service"}
    assert production.env == {"ONE": "environment", "TWO": "service", "THREE": "override"}
    assert {file.path: (file.content, file.mode) for file in production.files} == {
        "a.ini": ("override", 0o644),
        "b/c.ini": ("service", 0o600),
    }
    assert production.secrets == {
        "KEY": SecretReference("env", "SERVICE_KEY"),
        "OTHER": SecretReference("env", "ENVIRONMENT_OTHER"),
    }
    assert dev.strategy == Strategy("rolling", max_unavailable=Share(percent=25.0), pause=30.0)
    assert production.strategy == Strategy("rolling", batches=(Share(count=1), Share(percent=50.0)))
    assert (len(dev.hooks.before), production.hooks) == (1, Hooks())
    assert (dev.keep, production.keep) == (Keep(9), Keep(9))


def test_commands_in_an_override_take_the_place_of_the_unit(load: Load) -> None:
    fleet = load(LAYERS)
    assert fleet.targets["dev/api"].runner == Runner(unit="api.service")
    assert fleet.targets["production/api"].runner == Runner(commands=Commands("up", "down"))
    assert fleet.targets["production/web"].runner == Runner(unit="web.service", user_unit=True)


def test_targets_hosts_paths_and_order(load: Load) -> None:
    fleet = load(LAYERS)
    assert list(fleet.targets) == ["dev/api", "production/api", "production/web"]
    assert [host.name for host in fleet.targets["production/api"].hosts] == ["b", "a"]
    assert fleet.targets["dev/api"].path == "/srv/api/x"
    assert fleet.targets["production/web"].path == "~/web/production"
    logs = fleet.targets["production/web"].logs
    assert logs is not None
    assert logs.files == ("/log/production/web/*.log",)


def test_what_nobody_said_is_the_safe_default(load: Load) -> None:
    target = load(LAYERS).targets["production/web"]
    assert target.strategy == Strategy("rolling", max_unavailable=Share(count=1))
    assert target.rollback == RollbackPolicy()
    assert (target.keep, target.health, target.on_orphan, target.progress_deadline) == (Keep(5), None, "hold", 600.0)


@pytest.mark.parametrize("written", ["recreate", "{recreate: {}}"])
def test_both_forms_of_a_strategy(written: str, load: Load) -> None:
    fleet = load(LAYERS.replace("logs:", f"strategy: {written}\n    logs:"))
    assert fleet.targets["production/web"].strategy == Strategy("recreate")


def test_local_paths_start_at_the_file_they_stand_in(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fleet = load(
        """
        fleet: acme
        state: state
        ssh: {config: [~/.ssh/config, ssh_config], known_hosts: [/etc/known]}
        include: [sub/part.yml]
        hosts: {a: {ssh: a}}
        environments: {e: {hosts: [a], secrets: {A: {file: a.key}, B: {sops: "b.yml#x.y"}, C: {age: ~/c.age}}}}
        """,
        **{
            "sub/part.yml": """
        services:
          s:
            artifact: {tarball: "x-{version}.tgz", sha256: x.sha256}
            path: /s
            unit: s.service
            files: {motd: {from: motd.txt}}
            secrets: {D: {file: d.key}, E: {sops: "../e.yml#k"}, F: {age: /f.age}}
        """,
            "sub/motd.txt": "hello\n",
        },
    )
    target = fleet.targets["e/s"]
    assert (fleet.file, fleet.state) == (tmp_path / "fleet.yml", tmp_path / "state")
    assert fleet.ssh_config == (tmp_path / "home/.ssh/config", tmp_path / "ssh_config")
    assert fleet.known_hosts == (Path("/etc/known"),)
    assert (target.artifact.tarball, target.artifact.sha256) == (
        str(tmp_path / "sub/x-{version}.tgz"),
        str(tmp_path / "sub/x.sha256"),
    )
    assert [file.content for file in target.files] == ["hello\n"]
    # References of secrets are part of a release's identity: the same in every checkout, so relative to the main file.
    assert {name: secret.source for name, secret in target.secrets.items()} == {
        "A": "a.key",
        "B": "b.yml#x.y",
        "C": "~/c.age",
        "D": "sub/d.key",
        "E": "e.yml#k",
        "F": "/f.age",
    }


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/h"}, "/xdg/quarterdeck/acme"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/quarterdeck/acme"),
        ({"HOME": "/h"}, "/h/.local/state/quarterdeck/acme"),
    ],
)
def test_where_the_journal_is_by_default(
    variables: dict[str, str], expected: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load("fleet: acme\n").state == Path(expected)


def test_a_fleet_file_is_found_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fleet.yml").write_text("fleet: acme\nstate: s\n")
    fleet = load_fleet(Path("fleet.yml"))
    assert (fleet.file, fleet.state) == (tmp_path / "fleet.yml", tmp_path / "s")
    Path("fleet.yml").write_text("flee: acme\n")
    with pytest.raises(FleetFileErrors) as caught:
        load_fleet(Path("fleet.yml"))
    assert str(caught.value.problems[0]).startswith("fleet.yml:1:1: ")


HOST = "hosts: {{{0}: {{ssh: {0}}}}}\n"


def test_several_files_are_joined(load: Load) -> None:
    fleet = load(
        f"fleet: acme\ninclude: [b.yml, c.yml]\n{HOST.format('a')}",
        **{
            "b.yml": f"include: [sub/d.yml]\n{HOST.format('b')}",
            "c.yml": f"include: [sub/d.yml]\n{HOST.format('c')}",  # twice, by two ways: read once
            "sub/d.yml": f"{HOST.format('d')}environments: {{e: {{hosts: [a, b, c, d]}}}}",
        },
    )
    assert list(fleet.hosts) == ["a", "b", "d", "c"]
    assert fleet.environments["e"].hosts == ("a", "b", "c", "d")


def test_a_name_in_two_files_is_an_error_that_names_both(refuse: Refuse) -> None:
    (problem,) = refuse(
        f"fleet: acme\ninclude: [b.yml, c.yml]\n{HOST.format('a')}",
        **{"b.yml": HOST.format("x"), "c.yml": HOST.format("a")},
    )
    assert problem.file.name == "c.yml"
    assert (problem.line, problem.column) == (1, 9)
    assert problem.message.startswith("the host `a` is declared twice: first in ")
    assert problem.message.endswith("fleet.yml:3:9")


@pytest.mark.parametrize(
    ("others", "file", "line", "message"),
    [
        ({"b.yml": "include: [fleet.yml]\n"}, "b.yml", 1, "fleet.yml includes itself by way of others"),
        ({"b.yml": "include: [./b.yml]\n"}, "b.yml", 1, "./b.yml includes itself"),
        (
            {"b.yml": "include: [c.yml]\n", "c.yml": "include: [b.yml]"},
            "c.yml",
            1,
            "b.yml includes itself by way of others",
        ),
        ({}, "fleet.yml", 2, "there is no file"),
        ({"b.yml/x": ""}, "fleet.yml", 2, "is not an ordinary file"),
        ({"b.yml": "fleet: other\n"}, "b.yml", 1, "`fleet` may stand in the main file only, not in an included one"),
        ({"b.yml": "\noperators: {}\n"}, "b.yml", 2, "`operators` may stand in the main file only"),
        ({"b.yml": "a: [\n"}, "b.yml", 1, "this is not YAML"),
        ({"b.yml": ""}, "b.yml", 1, "the file is empty"),
    ],
)
def test_a_wrong_include(others: dict[str, str], file: str, line: int, message: str, refuse: Refuse) -> None:
    (problem,) = refuse("fleet: acme\ninclude: [b.yml]\n", **others)
    assert (problem.file.name, problem.line) == (file, line)
    assert message in problem.message


def test_a_named_pipe_neither_blocks_nor_counts_as_a_file(refuse: Refuse, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (problem,) = refuse("fleet: acme\ninclude: [pipe]\n")
    assert "is not an ordinary file" in problem.message


def test_problems_of_all_files_come_together(refuse: Refuse) -> None:
    problems = refuse("fleet: acme\ninclude: [b.yml]\nx: 1\n", **{"b.yml": "y: 1\nenvironments: {e: {hosts: [z]}}\n"})
    assert [(p.file.name, p.line) for p in problems] == [("fleet.yml", 3), ("b.yml", 1), ("b.yml", 2)]
