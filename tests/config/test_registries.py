"""Logins of registries in the fleet file: references only, under names that a repository can lie below."""

from pathlib import Path

import pytest

from quarterdeck.config.load import FleetFileErrors, load_fleet
from quarterdeck.config.model import RegistryLogin, SecretReference
from quarterdeck.config.problems import render, to_values

REST = "hosts: {h: {ssh: h}}\nenvironments: {e: {hosts: [h]}}\nservices: {}\n"


def loaded(tmp_path: Path, registries: str) -> dict[str, RegistryLogin]:
    path = tmp_path / "fleet.yml"
    path.write_text(f"fleet: acme\nstate: state\nregistries:\n{registries}{REST}")
    return dict(load_fleet(path).registries)


def faults(tmp_path: Path, registries: str) -> str:
    with pytest.raises(FleetFileErrors) as failed:
        loaded(tmp_path, registries)
    return str(failed.value)


def test_a_registry_and_a_part_of_one(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "  registry.acme.io:5000: {username: ci, password: {env: REGISTRY_TOKEN}}\n"
        "  gitlab.acme.io/shop/api: {username: deploy-1, password: {command: vault read token}}\n"
        "  docker.io: {username: acme, password: {file: hub.token}}\n",
    )
    assert found["registry.acme.io:5000"] == RegistryLogin("ci", SecretReference("env", "REGISTRY_TOKEN"))
    assert found["gitlab.acme.io/shop/api"].password.kind == "command"
    assert found["docker.io"].password.kind == "file"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("https://registry.acme.io/", "a registry has no scheme"),
        ("index.docker.io", "Docker Hub is called docker.io"),
        ("shop/api", "it has a dot or a port, or is localhost"),
        ("registry.acme.io/Shop", "a registry such as"),
        ("registry.acme.io/", "a registry such as"),
    ],
)
def test_a_name_that_no_repository_can_lie_below(tmp_path: Path, name: str, told: str) -> None:
    said = faults(tmp_path, f'  "{name}": {{username: ci, password: {{env: X}}}}\n')
    assert "fleet.yml:4:3" in said
    assert told in said


def test_a_value_in_the_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    said = faults(tmp_path, "  registry.acme.io: {username: ci, password: hunter2}\n")
    assert "fleet.yml:4:46: expected a mapping (env, file, command, sops, age), found a value" in said
    assert "hunter2" not in said
    assert "`username` is missing in a registry login" in faults(tmp_path, "  registry.acme.io: {password: {env: X}}\n")


@pytest.mark.parametrize(
    "service",
    [
        "{secrets: {TOKEN: hunter2}}",
        "{secrets: {TOKEN: {value: hunter2}}}",
        "{nonsense: 1, secrets: {TOKEN: hunter2}}",
        "{secrets: {TOKEN: 'hunter2\n  x'}}",
    ],
)
def test_a_secret_that_stands_in_the_file_is_shown_by_no_error_of_its_line(tmp_path: Path, service: str) -> None:
    path = tmp_path / "fleet.yml"
    path.write_text(f"fleet: acme\nstate: state\n{REST.replace('services: {}', f'services: {{web: {service}}}')}")
    with pytest.raises(FleetFileErrors) as failed:
        load_fleet(path)
    told = "unknown key `value` in a secret" if "value" in service else "this file never holds it"
    assert told in render(failed.value.problems)
    assert "hunter2" not in render(failed.value.problems)
    assert "hunter2" not in str(to_values(failed.value.problems))
