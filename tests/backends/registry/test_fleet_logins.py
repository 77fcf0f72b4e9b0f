"""Logins of the fleet file, against real registries with passwords and tokens: the longest name counts, and no value is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import available, resolve
from quarterdeck.backends.artifacts.registry import image_details, image_exists, registry_auth
from quarterdeck.backends.errors import NotPermitted, SecretUnavailable
from quarterdeck.config.model import Artifact, RegistryLogin, SecretReference
from quarterdeck.config.registries import RegistryLogins
from tests.backends.registry.conftest import WriteConfig, basic
from tests.backends.registry.real_registry import PASSWORD, RealRegistry, registry_program, start_registry
from tests.backends.registry.token_server import TokenServer, token_server
from tests.requirements_here import need

pytestmark = pytest.mark.registry


@pytest.fixture
def token_file(tmp_path: Path) -> SecretReference:
    (tmp_path / "token").write_text(f"{PASSWORD}\n")
    return SecretReference("file", "token")


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with token_server() as server:
        server.passwords = {"deployer": PASSWORD}
        yield server


@pytest.fixture
def guarded(tokens: TokenServer, tmp_path: Path) -> Iterator[RealRegistry]:
    need(registry_program() is not None, "a registry (package docker-registry)")
    started = start_registry(tmp_path / "guarded", auth=tokens.auth(tmp_path))
    started.authorize = lambda repository: f"Bearer {tokens.sign(repository, ['pull', 'push'])}"
    yield started
    started.close()


async def test_everything_that_is_asked_of_a_registry_goes_by_it(
    registry_with_passwords: RealRegistry, token_file: SecretReference, tmp_path: Path
) -> None:
    pushed = registry_with_passwords.push("fleet/api", "1")
    name = f"{registry_with_passwords.name}/fleet/api"
    logins = RegistryLogins({registry_with_passwords.name: RegistryLogin("ci", token_file)}, tmp_path)
    resolved = await resolve(Artifact(image=name), "1", logins=logins)
    assert resolved.sha256 == pushed.digest.removeprefix("sha256:")
    assert await available(Artifact(image=name), logins=logins) == ["1"]
    assert (await image_details(name, "1", logins=logins)).digest == pushed.digest
    assert await image_exists(resolved.location, logins=logins)
    assert await registry_auth(name, logins=logins) == {
        "username": "ci",
        "password": PASSWORD,
        "serveraddress": registry_with_passwords.name,
    }
    with pytest.raises(NotPermitted, match="No login is kept here"):
        await image_details(name, "1")


async def test_it_comes_before_docker_s_own_and_is_not_given_up_for_it(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, tmp_path: Path
) -> None:
    registry_with_passwords.push("fleet/own", "1")
    write_config({"auths": {registry_with_passwords.name: {"auth": basic("ci", PASSWORD)}}})
    name = registry_with_passwords.name
    (tmp_path / "old").write_text("hunter4")
    for reference, fault in (("file", "old"), NotPermitted), (("file", "gone"), SecretUnavailable):
        logins = RegistryLogins({name: RegistryLogin("ci", SecretReference(*reference))}, tmp_path)
        with pytest.raises(fault) as failed:
            await resolve(Artifact(image=f"{name}/fleet/own"), "1", logins=logins)
        assert name in str(failed.value)
        assert "hunter4" not in str(failed.value)
        if fault is NotPermitted:
            assert f"the fleet file gives for {name}" in str(failed.value)
        else:
            assert "there is no such file" in str(failed.value)
    assert (await resolve(Artifact(image=f"{name}/fleet/own"), "1")).sha256


async def test_a_token_for_a_part_of_a_registry_goes_to_its_token_server_for_that_part_alone(
    guarded: RealRegistry, tokens: TokenServer, token_file: SecretReference, tmp_path: Path
) -> None:
    """As GitLab's deploy tokens are: one for each group or project."""
    for repository in ("shop/api", "shopping/api"):
        guarded.push(repository, "1")
    logins = RegistryLogins(
        {
            guarded.name: RegistryLogin("nobody", SecretReference("file", "gone")),
            f"{guarded.name}/shop": RegistryLogin("deployer", token_file),
        },
        tmp_path,
    )
    assert await available(Artifact(image=f"{guarded.name}/shop/api"), logins=logins) == ["1"]
    (asked,) = [one for one in tokens.asked if one["authorization"]]
    assert asked["authorization"] == f"Basic {basic('deployer', PASSWORD)}"
    assert asked["scope"] == "repository:shop/api:pull"
    with pytest.raises(SecretUnavailable, match=f"the password of {guarded.name} "):
        await available(Artifact(image=f"{guarded.name}/shopping/api"), logins=logins)


def test_the_longest_name_counts_by_whole_parts() -> None:
    def login(user: str) -> RegistryLogin:
        return RegistryLogin(user, SecretReference("env", "X"))

    logins = RegistryLogins(
        {"git.acme.io:5050": login("all"), "git.acme.io:5050/shop": login("shop"), "docker.io/acme": login("hub")}
    )

    def user(repository: str) -> str | None:
        found = logins.find(repository)
        return found[1].username if found else None

    assert user("git.acme.io:5050/shop/api") == "shop"
    assert user("git.acme.io:5050/shop") == "shop"
    assert user("git.acme.io:5050/shopping") == "all"
    assert user("git.acme.io/shop") is None
    assert user("docker.io/acme/api") == "hub"
    assert user("docker.io/library/nginx") is None
