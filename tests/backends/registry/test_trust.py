"""Who is believed to be a registry: TLS everywhere but on this machine, and the certificates that Docker's directories hold."""

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts.http_tries import Retries
from quarterdeck.backends.artifacts.registry import image_tags, resolve_image
from quarterdeck.backends.artifacts.registry.trust import FOLDER
from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.config.model import Artifact
from tests.backends.artifacts.http_server import body, http_site, redirect
from tests.backends.registry.certificates import Signed, sign
from tests.backends.registry.conftest import WriteConfig, basic
from tests.backends.registry.proxy import Proxy, proxy
from tests.backends.registry.real_registry import HASH, PASSWORD, RealRegistry, registry_program, start_registry
from tests.requirements_here import need

pytestmark = pytest.mark.registry

NOW = Retries(first=0.0)


@pytest.fixture(scope="module")
def authority() -> Signed:
    return sign("authority of the tests")


@pytest.fixture
def secure(authority: Signed, tmp_path: Path) -> Iterator[RealRegistry]:
    """A registry at localhost with TLS, which no system trusts."""
    need(registry_program() is not None, "a registry (package docker-registry)")
    certificate, key = sign("localhost", authority).write(tmp_path / "tls", "registry")
    started = start_registry(
        tmp_path / "secure", tls={"certificate": str(certificate), "key": str(key)}, host="localhost"
    )
    started.verify = str(authority.write(tmp_path / "tls", "authority")[0])
    started.push("api", "1")
    yield started
    started.close()


@pytest.fixture
def certs_d() -> Iterator[Path]:
    """Makes Docker's own directory; what the test puts into it is for ports that only it has."""
    need(os.geteuid() == 0, "root, to write into /etc/docker/certs.d")
    there = FOLDER.exists()
    FOLDER.mkdir(parents=True, exist_ok=True)
    before = set(FOLDER.iterdir())
    made = FOLDER / f"tests-{os.getpid()}"
    yield made
    for path in set(FOLDER.iterdir()) - before:
        if (path / f"of-{os.getpid()}").exists():
            shutil.rmtree(path)
    if not there and not any(FOLDER.iterdir()):
        FOLDER.rmdir()


def place(registry: str) -> Path:
    path = FOLDER / registry
    path.mkdir(parents=True)
    (path / f"of-{os.getpid()}").touch()
    return path


async def test_a_registry_that_nobody_trusts_is_refused_with_the_place_for_its_authority(secure: RealRegistry) -> None:
    with pytest.raises(Unreachable) as failed:
        await image_tags(f"{secure.name}/api", retries=NOW)
    told = str(failed.value)
    assert "the certificate is not trusted" in told
    assert f"/etc/docker/certs.d/{secure.name}/ca.crt" in told


async def test_the_environment_may_name_an_authority(secure: RealRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.verify))
    assert await image_tags(f"{secure.name}/api", retries=NOW) == ["1"]


@pytest.mark.root
async def test_the_authority_in_docker_s_directory_is_trusted(
    secure: RealRegistry, authority: Signed, certs_d: Path
) -> None:
    authority.write(place(secure.name), "ca")
    assert await image_tags(f"{secure.name}/api", retries=NOW) == ["1"]
    # For this registry, and not for another one with the same authority.
    with pytest.raises(Unreachable, match="the certificate is not trusted"):
        await image_tags(f"{secure.name.replace('localhost', '127.0.0.1')}/api", retries=NOW)


@pytest.mark.root
async def test_a_client_certificate_in_docker_s_directory_is_shown(
    authority: Signed, certs_d: Path, tmp_path: Path
) -> None:
    need(registry_program() is not None, "a registry (package docker-registry)")
    certificate, key = sign("localhost", authority).write(tmp_path, "registry")
    public, _ = authority.write(tmp_path, "authority")
    started = start_registry(
        tmp_path / "mutual",
        tls={"certificate": str(certificate), "key": str(key), "clientcas": [str(public)]},
        host="localhost",
    )
    try:
        folder = place(started.name)
        authority.write(folder, "ca")
        with pytest.raises(Unreachable, match=r"TLS was broken off.*client\.cert"):
            await image_tags(f"{started.name}/api", retries=NOW)
        sign("operator", authority).write(folder, "client", certificate=".cert")
        with pytest.raises(BackendError, match="NAME_UNKNOWN"):
            await image_tags(f"{started.name}/api", retries=NOW)
    finally:
        started.close()


@pytest.mark.root
async def test_a_client_certificate_is_shown_to_no_other_host(authority: Signed, certs_d: Path, tmp_path: Path) -> None:
    certificate, key = sign("localhost", authority).write(tmp_path, "server")
    public, _ = authority.write(tmp_path, "authority")
    open_to_all, wants_certificate = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for context in (open_to_all, wants_certificate):
        context.load_cert_chain(certificate, key)
    wants_certificate.load_verify_locations(public)
    wants_certificate.verify_mode = ssl.CERT_REQUIRED
    with http_site(open_to_all, "localhost") as first, http_site(wants_certificate, "localhost") as second:
        first.answers["/v2/api/tags/list?n=1000"] = redirect(f"{second.url}/list")
        second.answers["/list"] = body(b'{"tags": ["1"]}')
        folder = place(first.url.partition("://")[2])
        authority.write(folder, "ca")
        sign("operator", authority).write(folder, "client", certificate=".cert")
        with pytest.raises(Unreachable):
            await image_tags(f"{folder.name}/api", retries=NOW)
        # With the certificate in the other one's directory it is let in: only that had been missing.
        sign("operator", authority).write(place(second.url.partition("://")[2]), "client", certificate=".cert")
        assert await image_tags(f"{folder.name}/api", retries=NOW) == ["1"]


@pytest.mark.root
async def test_a_file_that_is_no_certificate_is_named(secure: RealRegistry, certs_d: Path) -> None:
    (place(secure.name) / "ca.crt").write_text("nothing")
    with pytest.raises(BackendError, match=r"ca\.crt can't be used: it is no certificate"):
        await image_tags(f"{secure.name}/api", retries=NOW)


@pytest.mark.root
async def test_where_tls_is_set_up_nothing_is_said_without_it(registry: RealRegistry, certs_d: Path) -> None:
    registry.push("plain", "1")
    place(registry.name)
    with pytest.raises(Unreachable):
        await image_tags(f"{registry.name}/plain", retries=NOW)


async def test_a_registry_elsewhere_is_never_asked_without_encryption(
    registry: RealRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(registry.url) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        monkeypatch.setenv("HTTP_PROXY", tunnel.url)
        with pytest.raises(Unreachable):
            await image_tags("registry.acme.io:5000/api", retries=NOW)
        assert {line.split()[0] for line in tunnel.asked} == {"CONNECT"}
        assert {line.split()[1] for line in tunnel.asked} == {"registry.acme.io:5000"}


async def test_what_is_on_this_machine_is_not_asked_for_through_a_proxy(
    registry: RealRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push("direct", "1")
    with proxy(registry.url) as tunnel:
        monkeypatch.setenv("HTTP_PROXY", tunnel.url)
        assert await image_tags(f"{registry.name}/direct", retries=NOW) == ["1"]
        assert tunnel.asked == []


async def test_a_registry_is_reached_through_the_proxy_of_the_environment(
    authority: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(registry_program() is not None, "a registry (package docker-registry)")
    certificate, key = sign("registry.acme.io", authority).write(tmp_path, "registry")
    public, _ = authority.write(tmp_path, "authority")
    started = start_registry(tmp_path / "far", tls={"certificate": str(certificate), "key": str(key)})
    started.verify = str(public)
    try:
        started.push("api", "1")
        with proxy(started.url) as tunnel:
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
            monkeypatch.setenv("SSL_CERT_FILE", str(public))
            assert await image_tags("registry.acme.io/api", retries=NOW) == ["1"]
            assert [type(tunnel), *tunnel.asked[0].split()[:2]] == [Proxy, "CONNECT", "registry.acme.io:443"]
    finally:
        started.close()


async def test_docker_hub_is_asked_at_its_own_address_with_its_own_login(
    authority: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_config: WriteConfig
) -> None:
    need(registry_program() is not None, "a registry (package docker-registry)")
    certificate, key = sign("registry-1.docker.io", authority).write(tmp_path, "registry")
    public, _ = authority.write(tmp_path, "authority")
    started = start_registry(
        tmp_path / "hub", users={"ci": HASH}, tls={"certificate": str(certificate), "key": str(key)}
    )
    started.verify, started.authorize = str(public), lambda repository: f"Basic {basic('ci', PASSWORD)}"
    write_config({"auths": {"https://index.docker.io/v1/": {"auth": basic("ci", PASSWORD)}}})
    try:
        pushed = started.push("library/nginx", "1.27")
        with proxy(started.url) as tunnel:
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
            monkeypatch.setenv("SSL_CERT_FILE", str(public))
            resolved = await resolve_image(Artifact(image="nginx"), "1.27", retries=NOW)
            assert resolved.location == f"docker.io/library/nginx@{pushed.digest}"
            assert {line.split()[1] for line in tunnel.asked} == {"registry-1.docker.io:443"}
    finally:
        started.close()
