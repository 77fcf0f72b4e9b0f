"""Amazon ECR: the real botocore asks an API of ours for a login, and a real registry behind ECR's name takes it."""

import base64
import builtins
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.artifacts.registry import amazon, image_tags, registry_auth
from quarterdeck.backends.artifacts.registry.amazon import is_amazon
from quarterdeck.backends.artifacts.registry.reference import parse_repository
from quarterdeck.backends.errors import NotPermitted, Unreachable
from tests.backends.artifacts.http_server import Handler, Site, closed_port, http_site
from tests.backends.registry.certificates import sign
from tests.backends.registry.conftest import WriteConfig, basic
from tests.backends.registry.proxy import proxy
from tests.backends.registry.real_registry import HASH, PASSWORD, registry_program, start_registry
from tests.requirements_here import need

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(amazon, "_kept", {})
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """ECR's API as botocore speaks it: GetAuthorizationToken alone."""

    def answer(handler: Handler) -> None:
        assert handler.command == "POST"
        target = handler.headers["X-Amz-Target"]
        assert target == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
        assert "Credential=AKIATESTS/" in handler.headers["Authorization"]
        assert "/eu-central-1/ecr/aws4_request" in handler.headers["Authorization"]
        assert json.loads(handler.posted) == {"registryIds": ["123456789012"]}
        token = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        data = {
            "authorizationToken": token,
            "expiresAt": time.time() + 12 * 3600,
            "proxyEndpoint": f"https://{HOST}",
        }
        content = json.dumps({"authorizationData": [data]}).encode()
        handler.send(200, {"Content-Type": "application/x-amz-json-1.1"}, content)

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter5")
    with http_site() as site:
        site.answers["/"] = answer
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", site.url)
        yield site


@pytest.mark.registry
async def test_a_registry_behind_amazon_s_name_is_opened_with_an_aws_identity(
    api: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(registry_program() is not None, "a registry (package docker-registry)")
    signed = sign(HOST)
    certificate, key = signed.write(tmp_path, "registry")
    started = start_registry(
        tmp_path / "ecr", users={"AWS": HASH}, tls={"certificate": str(certificate), "key": str(key)}
    )
    started.verify = str(certificate)
    started.authorize = lambda repository: f"Basic {basic('AWS', PASSWORD)}"
    try:
        started.push("team/api", "1")
        with proxy(started.url) as tunnel:
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            for _ in range(2):
                assert await image_tags(f"{HOST}/team/api") == ["1"]
            assert all(line.startswith(f"CONNECT {HOST}:443") for line in tunnel.asked)
    finally:
        started.close()
    assert len(api.requests) == 1  # the login is kept while it holds


async def test_an_engine_is_given_amazon_s_login(api: Site) -> None:
    assert await registry_auth(f"{HOST}/team/api") == {
        "username": "AWS",
        "password": PASSWORD,
        "serveraddress": HOST,
    }


async def test_a_login_of_docker_s_own_comes_first(api: Site, write_config: WriteConfig) -> None:
    write_config({"auths": {HOST: {"auth": basic("ci", "x")}}})
    found = await registry_auth(f"{HOST}/team/api")
    assert found is not None
    assert found["username"] == "ci"
    assert api.requests == []


async def test_no_aws_identity_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotPermitted, match=r"there is no AWS identity here.*AWS_PROFILE"):
        await registry_auth(f"{HOST}/team/api")


async def test_what_aws_refuses_is_told_with_its_code_and_without_its_words(api: Site) -> None:
    content = b'{"__type": "AccessDeniedException", "message": "hunter5 is not authorized"}'
    api.answers["/"] = lambda handler: handler.send(400, {"Content-Type": "application/x-amz-json-1.1"}, content)
    with pytest.raises(NotPermitted, match=r"AccessDeniedException.*ecr:GetAuthorizationToken") as failed:
        await registry_auth(f"{HOST}/team/api")
    assert "hunter5" not in str(failed.value)


async def test_an_api_that_does_not_answer_is_told(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(Unreachable, match="no answer from Amazon ECR's API in eu-central-1"):
        await registry_auth(f"{HOST}/team/api")


async def test_without_botocore_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] == "botocore":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotPermitted, match=r"botocore is not installed.*pip install 'quarterdeck\[ecr\]'\)"):
        await registry_auth(f"{HOST}/team/api")


def test_amazon_s_registries_are_known_by_their_names() -> None:
    for name in (HOST, HOST.replace("ecr", "ecr-fips"), "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"):
        assert is_amazon(parse_repository(f"{name}/api")), name
    for name in ("registry.acme.io", f"{HOST}.acme.io", f"x.{HOST}", "public.ecr.aws", "localhost"):
        assert not is_amazon(parse_repository(f"{name}/api")), name
