"""Logins as Docker keeps them open real registries with passwords and with tokens; and no secret is in anything that is told."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.artifacts.registry import challenges, image_exists, image_tags, registry_auth, resolve_image
from quarterdeck.backends.errors import ArtifactMissing, BackendError, NotPermitted, Unreachable
from quarterdeck.config.model import Artifact
from tests.backends.registry.conftest import WriteConfig, basic
from tests.backends.registry.real_registry import PASSWORD, RealRegistry, registry_program, start_registry
from tests.backends.registry.token_server import SERVICE, TokenServer, token_server
from tests.requirements_here import need
from tests.sshd import wait_for

pytestmark = pytest.mark.registry

WriteProgram = Callable[[str, str], Path]


@pytest.fixture
def write_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteProgram:
    """A credential program on PATH: its name after docker-credential-, and what it does for ``get``."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name: str, body: str) -> Path:
        path = folder / f"docker-credential-{name}"
        path.write_text(f'#!/bin/sh\n[ "$*" = get ] || exit 9\n{body}\n')
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenServer]:
    with token_server() as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A registry that believes the token server alone."""
    need(registry_program() is not None, "a registry (package docker-registry)")
    folder = tmp_path_factory.mktemp("guarded")
    started = start_registry(folder, auth=tokens.auth(folder))
    started.authorize = lambda repository: f"Bearer {tokens.sign(repository, ['pull', 'push'])}"
    yield started
    started.close()


@pytest.fixture
def server(tokens: TokenServer) -> TokenServer:
    tokens.passwords = {"ci": PASSWORD}
    tokens.identities = {"identity-hunter3": "ci"}
    tokens.lifetime = 300
    tokens.asked.clear()
    return tokens


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def image(registry: RealRegistry, repository: str) -> Artifact:
    return Artifact(image=f"{registry.name}/{repository}")


async def test_a_password_of_docker_s_file_is_used(
    registry_with_passwords: RealRegistry, write_config: WriteConfig
) -> None:
    pushed = registry_with_passwords.push("file", "1")
    write_config({"auths": {registry_with_passwords.name: {"auth": basic("ci", PASSWORD)}}})
    resolved = await resolve_image(image(registry_with_passwords, "file"), "1")
    assert resolved.location.endswith(pushed.digest)
    assert resolved.size == pushed.size
    assert await image_exists(resolved.location)


@pytest.mark.parametrize("key", ["https://{}", "https://{}/v1/", "http://{}/v2/", "{}/v1/"])
async def test_a_key_of_an_old_docker_is_understood(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, key: str
) -> None:
    registry_with_passwords.push("oldkey", "1")
    write_config({"auths": {key.format(registry_with_passwords.name): {"auth": basic("ci", PASSWORD)}}})
    assert await image_tags(f"{registry_with_passwords.name}/oldkey") == ["1"]


async def test_without_a_login_the_advice_is_to_log_in(registry_with_passwords: RealRegistry) -> None:
    with pytest.raises(NotPermitted) as failed:
        await resolve_image(image(registry_with_passwords, "file"), "1")
    told = str(failed.value)
    assert f"No login is kept here: docker login {registry_with_passwords.name}" in told
    assert "HTTP 401" in told
    assert "Nothing was changed" in told


async def test_a_wrong_password_is_told_as_one_and_is_not_shown(
    registry_with_passwords: RealRegistry, write_config: WriteConfig
) -> None:
    write_config({"auths": {registry_with_passwords.name: {"auth": basic("ci", "hunter3")}}})
    with pytest.raises(NotPermitted, match="may not read this image, or holds no longer: docker login") as failed:
        await resolve_image(image(registry_with_passwords, "file"), "1")
    assert "hunter3" not in str(failed.value)


async def test_a_login_for_another_registry_goes_nowhere(
    registry_with_passwords: RealRegistry, write_config: WriteConfig
) -> None:
    write_config(
        {"auths": {"127.0.0.1": {"auth": basic("ci", PASSWORD)}, "registry.acme.io": {"auth": basic("ci", PASSWORD)}}}
    )
    with pytest.raises(NotPermitted, match="No login is kept here"):
        await image_tags(f"{registry_with_passwords.name}/file")


async def test_a_credential_program_is_asked_on_its_stdin(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, write_program: WriteProgram, tmp_path: Path
) -> None:
    registry_with_passwords.push("program", "1")
    answer = json.dumps({"ServerURL": "x", "Username": "ci", "Secret": PASSWORD})
    write_program("tests", f"cat >{tmp_path}/asked; echo '{answer}'")
    for config in ({"credHelpers": {registry_with_passwords.name: "tests"}}, {"credsStore": "tests"}):
        write_config(config)
        assert await image_tags(f"{registry_with_passwords.name}/program") == ["1"]
        assert (tmp_path / "asked").read_text() == registry_with_passwords.name
        (tmp_path / "asked").unlink()


async def test_the_program_of_one_registry_comes_before_that_of_all(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, write_program: WriteProgram
) -> None:
    registry_with_passwords.push("before", "1")
    write_program("one", f'echo \'{{"Username":"ci","Secret":"{PASSWORD}"}}\'')
    write_program("all", "exit 7")
    write_config({"credHelpers": {registry_with_passwords.name: "one", "other": "all"}, "credsStore": "all"})
    assert await image_tags(f"{registry_with_passwords.name}/before") == ["1"]


async def test_what_a_program_does_not_know_may_be_in_the_file(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, write_program: WriteProgram
) -> None:
    registry_with_passwords.push("fallback", "1")
    write_program("empty", "echo 'credentials not found in native keychain'; exit 1")
    auths = {registry_with_passwords.name: {"auth": basic("ci", PASSWORD)}}
    write_config({"credsStore": "empty", "auths": auths})
    assert await image_tags(f"{registry_with_passwords.name}/fallback") == ["1"]
    write_config({"credsStore": "empty", "auths": {registry_with_passwords.name: {}}})
    with pytest.raises(NotPermitted, match="No login is kept here"):
        await image_tags(f"{registry_with_passwords.name}/fallback")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("echo hunter2; echo hunter2 >&2; exit 3", "ended with exit status 3"),
        ("kill -9 $$", "ended by signal 9"),
        ("echo hunter2", "can't be understood"),
        ("echo '[\"hunter2\"]'", "can't be understood"),
        ('echo \'{"Username": 1, "Secret": "hunter2"}\'', "can't be understood"),
        ("yes hunter2", "can't be understood"),
    ],
)
async def test_a_program_that_fails_is_named_and_its_words_are_not(
    registry_with_passwords: RealRegistry,
    write_config: WriteConfig,
    write_program: WriteProgram,
    body: str,
    told: str,
) -> None:
    write_program("broken", body)
    write_config({"credsStore": "broken"})
    with pytest.raises(BackendError, match=told) as failed:
        await image_tags(f"{registry_with_passwords.name}/x")
    assert "docker-credential-broken" in str(failed.value)
    assert "hunter2" not in str(failed.value)


async def test_a_program_that_is_not_there_is_named(
    registry_with_passwords: RealRegistry, write_config: WriteConfig
) -> None:
    path = write_config({"credsStore": "of-another-machine"})
    with pytest.raises(BackendError, match="docker-credential-of-another-machine, which is not installed") as failed:
        await image_tags(f"{registry_with_passwords.name}/x")
    assert str(path) in str(failed.value)


async def test_a_program_that_hangs_ends_at_the_deadline(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, write_program: WriteProgram
) -> None:
    write_program("hangs", "sleep 1000")
    write_config({"credsStore": "hangs"})
    with pytest.raises(Unreachable, match=r"not done within 0\.5 s"):
        await image_tags(f"{registry_with_passwords.name}/x", deadline=0.5)


async def test_a_program_that_nobody_waits_for_is_ended_with_what_it_started(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, write_program: WriteProgram, tmp_path: Path
) -> None:
    write_program(
        "hangs", f"sleep 1000 & echo $! $$ >{tmp_path}/both.new; mv {tmp_path}/both.new {tmp_path}/both; wait"
    )
    write_config({"credsStore": "hangs"})
    waiting = asyncio.create_task(image_tags(f"{registry_with_passwords.name}/x", deadline=100))
    await asyncio.to_thread(wait_for, (tmp_path / "both").exists, "the program runs", 30.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    started = [int(pid) for pid in (tmp_path / "both").read_text().split()]
    await asyncio.to_thread(wait_for, lambda: not any(lives(pid) for pid in started), "both have ended")


@pytest.mark.parametrize("text", ["hunter2", '["hunter2"]', '{"auths": {"REGISTRY": {"auth": "hunter2"}}}'])
async def test_a_file_that_is_damaged_is_told_without_its_words(
    registry_with_passwords: RealRegistry, write_config: WriteConfig, text: str
) -> None:
    path = write_config({})
    path.write_text(text.replace("REGISTRY", registry_with_passwords.name))
    with pytest.raises(BackendError, match=r"config\.json") as failed:
        await image_tags(f"{registry_with_passwords.name}/x")
    assert "hunter2" not in str(failed.value)


async def test_a_registry_that_asks_for_nothing_causes_no_look_for_a_login(
    registry: RealRegistry, write_config: WriteConfig, write_program: WriteProgram
) -> None:
    registry.push("nologin", "1")
    write_program("broken", "exit 3")
    write_config({"credsStore": "broken"})
    assert await image_tags(f"{registry.name}/nologin") == ["1"]


async def test_a_token_is_fetched_with_the_password_and_used_again_until_it_ends(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = guarded.push("team/api", "1")
    write_config({"auths": {guarded.name: {"auth": basic("ci", PASSWORD)}}})
    for _ in range(3):
        resolved = await resolve_image(image(guarded, "team/api"), "1")
        assert resolved.location.endswith(pushed.digest)
    assert server.asked == [
        {
            "method": "GET",
            "authorization": f"Basic {basic('ci', PASSWORD)}",
            "service": SERVICE,
            "scope": "repository:team/api:pull",
            "account": "ci",
        }
    ]
    later = time.monotonic() + 300
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await resolve_image(image(guarded, "team/api"), "1")
    assert len(server.asked) == 2


async def test_a_token_is_for_one_repository(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig
) -> None:
    guarded.push("team/one", "1")
    guarded.push("team/two", "1")
    write_config({"auths": {guarded.name: {"auth": basic("ci", PASSWORD)}}})
    await image_tags(f"{guarded.name}/team/one")
    await image_tags(f"{guarded.name}/team/two")
    assert [one["scope"] for one in server.asked] == ["repository:team/one:pull", "repository:team/two:pull"]


async def test_a_token_that_no_longer_holds_is_replaced(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig
) -> None:
    guarded.push("team/api", "1")
    write_config({"auths": {guarded.name: {"auth": basic("ci", PASSWORD)}}})
    await image_tags(f"{guarded.name}/team/api")
    memory = challenges.TOKENS._tokens
    (key,) = memory
    memory[key] = (memory[key][0], "an.old.token")
    assert await image_tags(f"{guarded.name}/team/api") == ["1"]
    assert len(server.asked) == 2


async def test_who_has_logged_in_since_is_asked_for_anew(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig
) -> None:
    guarded.push("team/api", "1")
    with pytest.raises(NotPermitted, match="No login is kept here"):
        await image_tags(f"{guarded.name}/team/api")
    write_config({"auths": {guarded.name: {"auth": basic("ci", PASSWORD)}}})
    assert await image_tags(f"{guarded.name}/team/api") == ["1"]


async def test_who_has_logged_out_since_reads_no_more(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig
) -> None:
    guarded.push("team/api", "1")
    write_config({"auths": {guarded.name: {"auth": basic("ci", PASSWORD)}}})
    assert await image_tags(f"{guarded.name}/team/api") == ["1"]
    write_config({})
    with pytest.raises(NotPermitted, match="No login is kept here"):
        await image_tags(f"{guarded.name}/team/api")


async def test_what_is_public_is_read_without_a_login(guarded: RealRegistry, server: TokenServer) -> None:
    pushed = guarded.push("public/api", "1")
    resolved = await resolve_image(image(guarded, "public/api"), "1")
    assert resolved.location.endswith(pushed.digest)
    assert [one["authorization"] for one in server.asked] == [""]


async def test_an_identity_token_is_posted_and_never_in_a_url(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig, write_program: WriteProgram
) -> None:
    guarded.push("team/api", "1")
    write_config({"auths": {guarded.name: {"identitytoken": "identity-hunter3"}}})
    assert await image_tags(f"{guarded.name}/team/api") == ["1"]
    write_program("identity", 'echo \'{"Username":"<token>","Secret":"identity-hunter3"}\'')
    write_config({"credsStore": "identity"})
    assert await image_tags(f"{guarded.name}/team/api") == ["1"]
    assert [(one["method"], one["refresh_token"]) for one in server.asked] == [("POST", "identity-hunter3")] * 2
    assert not any("hunter3" in path for path in server.site.paths())


async def test_a_token_server_that_refuses_is_told_as_a_refusal(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig
) -> None:
    write_config({"auths": {guarded.name: {"auth": basic("ci", "hunter4")}}})
    with pytest.raises(NotPermitted, match=r"token server 127\.0\.0\.1 refused \(HTTP 401\)") as failed:
        await image_tags(f"{guarded.name}/team/api")
    assert "hunter4" not in str(failed.value)
    assert f"docker login {guarded.name}" in str(failed.value)


async def test_an_unknown_tag_behind_a_login_names_the_nearest(
    guarded: RealRegistry, server: TokenServer, write_config: WriteConfig
) -> None:
    guarded.push("team/near", "1.0")
    write_config({"auths": {guarded.name: {"auth": basic("ci", PASSWORD)}}})
    with pytest.raises(ArtifactMissing, match=r"Nearest: 1\.0"):
        await resolve_image(image(guarded, "team/near"), "1.1")


async def test_no_log_has_a_secret_in_it(
    guarded: RealRegistry,
    server: TokenServer,
    registry_with_passwords: RealRegistry,
    write_config: WriteConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guarded.push("team/api", "1")
    registry_with_passwords.push("logged", "1")
    caplog.set_level(logging.DEBUG)
    entry = {"auth": basic("ci", PASSWORD)}
    write_config({"auths": {guarded.name: entry, registry_with_passwords.name: entry}})
    await image_tags(f"{guarded.name}/team/api")
    await image_tags(f"{registry_with_passwords.name}/logged")
    (token,) = [value for _, value in challenges.TOKENS._tokens.values()]
    assert caplog.records  # httpx does write: there was something to look through
    for secret in (PASSWORD, basic("ci", PASSWORD), token, token.rpartition(".")[2]):
        assert secret not in caplog.text
        assert secret not in repr(challenges.TOKENS)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": basic("ci", "a:b")}, {"username": "ci", "password": "a:b"}),
        ({"username": "ci", "password": "x"}, {"username": "ci", "password": "x"}),
        ({"auth": basic("ci", ""), "identitytoken": "i"}, {"identitytoken": "i"}),
        ({"registrytoken": "r"}, {"registrytoken": "r"}),
    ],
)
async def test_an_engine_is_given_what_docker_would_give_it(
    write_config: WriteConfig, entry: dict[str, Any], expected: dict[str, str]
) -> None:
    write_config({"auths": {"registry.acme.io": entry}})
    assert await registry_auth("registry.acme.io/team/api") == {**expected, "serveraddress": "registry.acme.io"}
    assert await registry_auth("other.acme.io/team/api") is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io"])
async def test_docker_hub_s_login_is_found_under_its_old_name(write_config: WriteConfig, key: str) -> None:
    write_config({"auths": {key: {"auth": basic("ci", PASSWORD)}}})
    expected = {"username": "ci", "password": PASSWORD, "serveraddress": "https://index.docker.io/v1/"}
    assert await registry_auth("nginx") == expected
    assert await registry_auth("acme/api") == expected


async def test_a_program_is_asked_for_docker_hub_by_its_old_name(
    write_config: WriteConfig, write_program: WriteProgram
) -> None:
    write_program("hub", 'read server || true; echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"x\\"}"')
    write_config({"credsStore": "hub"})
    found = await registry_auth("nginx")
    assert found is not None
    assert found["username"] == "https://index.docker.io/v1/"


async def test_who_never_used_docker_has_no_login() -> None:
    assert await registry_auth("nginx") is None
