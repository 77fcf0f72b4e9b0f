"""Amazon ECR as moto's server plays it: its own answers to what botocore signs, and the images in a real registry behind ECR's name."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import resolve
from quarterdeck.backends.artifacts.registry import amazon, image_exists, image_tags, registry_auth
from quarterdeck.backends.errors import NotPermitted
from quarterdeck.config.model import Artifact
from tests.backends.registry.aws_server import ACCOUNT, REGION, AccessKey, AwsServer, aws_program
from tests.backends.registry.certificates import sign
from tests.backends.registry.conftest import basic
from tests.backends.registry.proxy import proxy
from tests.backends.registry.real_registry import RealRegistry, registry_program, start_registry
from tests.requirements_here import need

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
IMAGE = f"{HOST}/team/api"
# What moto gives as the password of every login to the account's registry, and its bcrypt at the least cost.
PASSWORD = f"{ACCOUNT}-auth-token"
HASH = "$2b$04$1VKWI55EVPzQeGOVYjVAqeLetYT770uA2nxZEdiMWEDPRrmZnvRD6"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    need(aws_program() is not None, "moto's server (PyPI's packages moto, flask and flask-cors)")
    server = AwsServer(tmp_path_factory.mktemp("aws"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def users(aws: AwsServer) -> dict[str, AccessKey]:
    """``puller`` may ask for a login, ``reader`` may do other things with images."""
    made = {
        "puller": aws.user("puller", "ecr:GetAuthorizationToken"),
        "reader": aws.user("reader", "ecr:DescribeRepositories"),
    }
    aws.check_rights()
    return made


@pytest.fixture(autouse=True)
def this_identity(aws: AwsServer, users: dict[str, AccessKey], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile for each user, as ``aws configure`` writes it; the puller's is the one in use."""
    profiles = {**users, "stranger": AccessKey("AKIANOBODY", "hunter5")}
    profiles["forger"] = AccessKey(users["puller"].name, "hunter5")
    written = tmp_path / "credentials"
    written.write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {key.name}\naws_secret_access_key = {key.secret}\n"
            for name, key in profiles.items()
        )
    )
    monkeypatch.setattr(amazon, "_kept", {})
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(written))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", aws.url)
    monkeypatch.setenv("AWS_PROFILE", "puller")


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealRegistry]:
    """A registry with ECR's name and certificate that takes the login which moto gives, and no other."""
    need(registry_program() is not None, "a registry (package docker-registry)")
    certificate, key = sign(HOST).write(tmp_path, "registry")
    started = start_registry(
        tmp_path / "ecr", users={"AWS": HASH}, tls={"certificate": str(certificate), "key": str(key)}
    )
    started.verify = str(certificate)
    started.authorize = lambda repository: f"Basic {basic('AWS', PASSWORD)}"
    try:
        with proxy(started.url) as tunnel:
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            yield started
    finally:
        started.close()


@pytest.mark.registry
async def test_a_tag_is_resolved_with_the_login_that_aws_gives(behind: RealRegistry, aws: AwsServer) -> None:
    pushed = behind.push("team/api", "1")
    before = len(aws.asked())
    assert await image_tags(IMAGE) == ["1"]
    resolved = await resolve(Artifact(image=IMAGE), "1")
    assert resolved.location == f"{IMAGE}@{pushed.digest}"
    assert await image_exists(resolved.location)
    asked = aws.asked()[before:]
    assert asked
    assert set(asked) == {"200"}
    assert behind.asked("team/api") > len(asked)


@pytest.mark.registry
async def test_another_identity_s_refusal_opens_nothing(behind: RealRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    behind.push("team/api", "1")
    before = behind.asked("GET /v2/team/api")
    monkeypatch.setenv("AWS_PROFILE", "reader")
    with pytest.raises(NotPermitted, match="AWS gives no login"):
        await image_tags(IMAGE)
    monkeypatch.setenv("AWS_PROFILE", "puller")
    assert await image_tags(IMAGE) == ["1"]
    assert behind.asked("GET /v2/team/api") > before


async def test_an_engine_is_given_the_login(aws: AwsServer) -> None:
    assert await registry_auth(IMAGE) == {"username": "AWS", "password": PASSWORD, "serveraddress": HOST}


async def test_a_login_that_has_run_out_is_not_kept(aws: AwsServer) -> None:
    before = len(aws.asked())
    for _ in range(2):  # moto's logins have all run out in 2015
        assert await registry_auth(IMAGE) is not None
    assert aws.asked()[before:] == ["200", "200"]
    ((until, _),) = amazon._kept.values()
    assert until < datetime.now(UTC)


@pytest.mark.parametrize("profile", ["reader", "stranger", "forger"])
async def test_who_may_not_is_told_so_and_no_secret_is(
    profile: str, aws: AwsServer, users: dict[str, AccessKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without the right, a key that AWS does not know, and a key whose secret is another."""
    monkeypatch.setenv("AWS_PROFILE", profile)
    before = len(aws.asked())
    with pytest.raises(NotPermitted, match=r"AWS gives no login \(.*ecr:GetAuthorizationToken") as failed:
        await registry_auth(IMAGE)
    assert aws.asked()[before:] == ["403"]  # asked once: a refusal is not tried again
    said = f"{failed.value}{failed.value!r}"
    assert not any(secret in said for secret in ("hunter5", *(key.secret for key in users.values())))


async def test_a_profile_that_nobody_wrote_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    with pytest.raises(NotPermitted, match=r"botocore can't ask for a login \(ProfileNotFound\)"):
        await registry_auth(IMAGE)
