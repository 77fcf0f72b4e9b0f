"""Artifacts over HTTP: what may pass is tried again, the rest is one sentence, and a login goes to one host."""

import asyncio
import gzip
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quarterdeck.backends.artifacts import available, fetch, resolve
from quarterdeck.backends.artifacts.http_place import HttpPlace
from quarterdeck.backends.artifacts.http_tries import Retries
from quarterdeck.backends.artifacts.location import parse
from quarterdeck.backends.artifacts.places import Memory
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, NotPermitted, Unreachable
from quarterdeck.config.model import Artifact
from quarterdeck.config.release import ResolvedArtifact
from tests.backends.artifacts.building import sha256, tarball
from tests.backends.artifacts.http_server import (
    Site,
    body,
    closed_port,
    endless,
    http_site,
    in_turn,
    redirect,
    status,
    truncated,
)

NOW = Retries(first=0.0)


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def site() -> Iterator[Site]:
    with http_site() as site:
        yield site


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    tarball(tmp_path / "web.tar.gz", {"run": b"#!/bin/sh\n", "data": os.urandom(2_500_000)})
    return (tmp_path / "web.tar.gz").read_bytes()


@pytest.fixture
def digest(archive: bytes, tmp_path: Path) -> str:
    return sha256(tmp_path / "web.tar.gz")


async def read(url: str, *, retries: Retries = NOW, limit: int = 10_000_000) -> bytes:
    written = Memory()
    async with HttpPlace("find it", retries=retries) as place:
        await place.read(parse(url, "1"), written, limit=limit)
    return bytes(written.data)


async def test_a_version_is_resolved_with_its_checksum_file_and_fetched(
    site: Site, archive: bytes, digest: str, tmp_path: Path
) -> None:
    site.answers["/web-1.0.tar.gz"] = body(archive)
    site.answers["/web-1.0.tar.gz.sha256"] = body(f"{digest}  web-1.0.tar.gz\n".encode())
    artifact = Artifact(f"{site.url}/web-{{version}}.tar.gz", f"{site.url}/web-{{version}}.tar.gz.sha256")
    resolved = await resolve(artifact, "1.0")
    assert resolved == ResolvedArtifact(f"{site.url}/web-1.0.tar.gz", digest, len(archive))
    assert (await fetch(resolved, tmp_path / "cache")).read_bytes() == archive
    assert await available(artifact) == []


async def test_a_plus_in_a_version_arrives_as_a_plus(site: Site, archive: bytes, digest: str) -> None:
    site.answers["/1.0%2Bb7/web.tar.gz?v=1.0%2Bb7"] = body(archive)
    await resolve(Artifact(f"{site.url}/{{version}}/web.tar.gz?v={{version}}", digest), "1.0+b7")


async def test_without_a_checksum_nothing_is_taken_from_a_network(site: Site, archive: bytes) -> None:
    site.answers["/web-1.0.tar.gz"] = body(archive)
    with pytest.raises(ArtifactRefused, match="no checksum"):
        await resolve(Artifact(f"{site.url}/web-{{version}}.tar.gz"), "1.0")


async def test_other_bytes_than_were_resolved_are_refused(site: Site, digest: str, tmp_path: Path) -> None:
    site.answers["/web.tar.gz"] = body(b"something else")
    with pytest.raises(ArtifactRefused, match=digest):
        await fetch(ResolvedArtifact(f"{site.url}/web.tar.gz", digest), tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []


@pytest.mark.parametrize("code", [404, 410])
async def test_a_version_that_the_server_lacks_is_missing(site: Site, code: int) -> None:
    site.answers["/web-1.0.tar.gz"] = status(code)
    with pytest.raises(ArtifactMissing, match=f"HTTP {code}"):
        await resolve(Artifact(f"{site.url}/web-{{version}}.tar.gz", "0" * 64), "1.0")
    assert len(site.requests) == 1


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refusal_says_where_a_login_goes(site: Site, code: int) -> None:
    site.answers["/a"] = status(code)
    with pytest.raises(NotPermitted, match=r"~/\.netrc"):
        await read(f"{site.url}/a")
    assert len(site.requests) == 1


async def test_other_answers_are_not_taken_for_the_file(site: Site) -> None:
    for code in (204, 206, 304, 400, 418):
        site.answers["/a"] = status(code)
        with pytest.raises(BackendError, match=f"HTTP {code}"):
            await read(f"{site.url}/a")


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_an_error_that_passes_is_waited_for(site: Site, code: int) -> None:
    site.answers["/a"] = in_turn(status(code), status(code), body(b"here"))
    assert await read(f"{site.url}/a") == b"here"


async def test_an_error_that_stays_is_told_after_a_bounded_number_of_tries(site: Site) -> None:
    site.answers["/a"] = status(503)
    with pytest.raises(Unreachable, match=r"HTTP 503 \(4 tries\)"):
        await read(f"{site.url}/a")
    assert len(site.requests) == 4


async def test_the_server_says_how_long_to_wait(site: Site) -> None:
    # Of its own accord the client would wait for up to an hour: only the server's word makes this end in time.
    patient = Retries(first=3600.0, most=3600.0)
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    site.answers["/a"] = in_turn(status(429, Retry_After="0"), status(503, Retry_After=past), body(b"here"))
    assert await read(f"{site.url}/a", retries=patient) == b"here"


def test_a_wait_that_the_server_asks_for_is_bounded() -> None:
    assert Retries().pause(0, 10_000_000.0) == 300.0
    assert Retries().pause(0, 7.0) == 7.0
    assert all(0 <= Retries().pause(attempt, None) <= 20 for attempt in range(50))


async def test_a_body_that_breaks_off_is_read_again_from_its_start(site: Site, archive: bytes) -> None:
    site.answers["/a"] = in_turn(truncated(archive, 2_200_000), truncated(archive, 10), body(archive))
    assert await read(f"{site.url}/a") == archive


async def test_a_body_that_always_breaks_off_is_never_taken(
    site: Site, archive: bytes, digest: str, tmp_path: Path
) -> None:
    site.answers["/a"] = truncated(archive, 200_000)
    with pytest.raises(Unreachable, match="broke before the end"):
        await read(f"{site.url}/a")


async def test_a_server_that_stops_sending_ends_at_the_deadline_and_leaves_nothing(
    site: Site, digest: str, tmp_path: Path
) -> None:
    site.answers["/a"] = endless(b"x" * 100)
    with pytest.raises(Unreachable, match=r"not done within 0\.5 s"):
        await fetch(ResolvedArtifact(f"{site.url}/a", digest), tmp_path / "cache", deadline=0.5)
    assert os.listdir(tmp_path / "cache") == []


async def test_no_server_is_one_sentence() -> None:
    with pytest.raises(Unreachable, match=r"no connection: nobody listens there \(4 tries\)"):
        await read(f"http://127.0.0.1:{closed_port()}/a")


async def test_a_file_above_the_limit_is_refused_whether_its_size_is_said_or_not(site: Site) -> None:
    site.answers["/said"] = body(b"x" * 1000)

    def unsaid(handler: object) -> None:
        from tests.backends.artifacts.http_server import Handler

        assert isinstance(handler, Handler)
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")

    site.answers["/unsaid"] = unsaid
    for path in ("/said", "/unsaid"):
        assert await read(site.url + path) == b"x" * 1000
        with pytest.raises(ArtifactRefused, match="more than 999 bytes"):
            await read(site.url + path, limit=999)


async def test_a_file_that_says_it_is_too_large_is_not_read_at_all(site: Site) -> None:
    site.answers["/a"] = endless(b"x" * 100)  # says that it has 1100
    async with asyncio.timeout(60):
        with pytest.raises(ArtifactRefused, match="more than 1099 bytes"):
            await read(f"{site.url}/a", limit=1099)


async def test_the_bytes_are_those_of_the_file_whatever_the_server_says_of_them(site: Site) -> None:
    packed = gzip.compress(b"content")
    site.answers["/a"] = body(packed, Content_Encoding="gzip")
    assert await read(f"{site.url}/a") == packed
    assert site.requests[0][1]["accept-encoding"] == "identity"


async def test_redirects_are_followed_but_not_for_ever(site: Site) -> None:
    site.answers["/a"] = redirect("/b", 301)
    site.answers["/b"] = redirect(f"{site.url}/c", 307)
    site.answers["/c"] = body(b"here")
    assert await read(f"{site.url}/a") == b"here"
    site.answers["/loop"] = redirect("/loop")
    with pytest.raises(BackendError, match="more than 10 redirects"):
        await read(f"{site.url}/loop")


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/a", "file:///etc/passwd"])
async def test_a_redirect_to_what_is_no_web_page_is_refused(site: Site, target: str) -> None:
    site.answers["/a"] = redirect(target)
    with pytest.raises(BackendError, match="can't be fetched"):
        await read(f"{site.url}/a")


async def test_a_token_in_the_url_or_in_a_redirect_is_in_no_error(site: Site) -> None:
    site.answers["/a?token=hunter2"] = redirect("/b?signature=hunter3")
    site.answers["/b?signature=hunter3"] = status(500)
    with pytest.raises(Unreachable) as failed:
        await read(f"{site.url}/a?token=hunter2")
    assert "hunter" not in str(failed.value)
    assert site.paths()[-1] == "/b?signature=hunter3"


async def test_the_login_of_netrc_goes_to_its_host_and_to_no_other(site: Site, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ci password hunter2\ndefault login x password hunter3\n")
    with http_site(name="localhost") as other:
        site.answers["/a"] = redirect("/b")
        site.answers["/b"] = redirect(f"{other.url}/c")
        other.answers["/c"] = body(b"here")
        assert await read(f"{site.url}/a") == b"here"
        assert site.requests[0][1]["authorization"] == "Basic Y2k6aHVudGVyMg=="
        assert site.requests[1][1]["authorization"] == "Basic Y2k6aHVudGVyMg=="
        assert "authorization" not in other.requests[0][1]


async def test_a_netrc_that_can_not_be_read_is_told_without_its_words(site: Site, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("hunter2 machine\n")
    with pytest.raises(BackendError, match=r"netrc can't be used \(line 1\)") as failed:
        await read(f"{site.url}/a")
    assert "hunter2" not in str(failed.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=30))
        .not_valid_after(datetime.now(UTC) + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def secure_site(certificate: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http_site(context, name="localhost") as site:
        yield site


async def test_a_certificate_that_nobody_trusts_is_refused_at_once(secure_site: Site) -> None:
    secure_site.answers["/a"] = body(b"here")
    with pytest.raises(Unreachable, match=r"certificate is not trusted.*SSL_CERT_FILE"):
        await read(f"{secure_site.url}/a")
    assert secure_site.requests == []


async def test_a_certificate_authority_of_ones_own_is_trusted_where_the_environment_names_it(
    secure_site: Site, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure_site.answers["/a"] = body(b"here")
    assert await read(f"{secure_site.url}/a") == b"here"
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        await read(f"{secure_site.url.replace('localhost', '127.0.0.1')}/a")


async def test_nobody_is_sent_on_from_https_to_http(
    secure_site: Site, site: Site, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure_site.answers["/a"] = redirect(f"{site.url}/b")
    site.answers["/b"] = body(b"from somebody in between")
    with pytest.raises(BackendError, match="without encryption"):
        await read(f"{secure_site.url}/a")
    assert site.requests == []
