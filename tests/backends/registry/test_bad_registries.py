"""Registries that are down, slow, busy, that send elsewhere or lie: one sentence each, and no login where it does not belong."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from quarterdeck.backends.artifacts.http_tries import Retries
from quarterdeck.backends.artifacts.registry import image_details, image_exists, image_tags, resolve_image
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, NotPermitted, Unreachable
from quarterdeck.config.model import Artifact
from tests.backends.artifacts.http_server import (
    Answer,
    Handler,
    Site,
    body,
    closed_port,
    http_site,
    in_turn,
    redirect,
    status,
)
from tests.backends.registry.conftest import WriteConfig, basic
from tests.backends.registry.real_registry import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, RealRegistry

NOW = Retries(first=0.0)
EMPTY = "sha256:" + hashlib.sha256(b"{}").hexdigest()
CONTENT = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": EMPTY, "size": 2},
        "layers": [{"digest": EMPTY, "size": 40}],
    }
).encode()
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
OTHER = "sha256:" + "0" * 64


@pytest.fixture
def site() -> Iterator[Site]:
    with http_site() as site:
        yield site


def name(site: Site) -> str:
    return site.url.partition("://")[2]


def manifest(content: bytes = CONTENT, digest: str = "") -> Answer:
    said = {"Docker_Content_Digest": digest} if digest else {}
    return body(content, Content_Type=OCI_MANIFEST, **said)


def by_method(**answers: Answer) -> Answer:
    return lambda handler: answers[handler.command](handler)


async def resolve(site: Site, version: str = "1", **settings: Any) -> Any:
    return await resolve_image(Artifact(image=f"{name(site)}/api"), version, retries=NOW, **settings)


async def test_a_registry_without_the_digest_s_header_is_read(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = manifest()
    assert (await resolve(site)).location == f"{name(site)}/api@{DIGEST}"


@pytest.mark.parametrize("code", [405, 501])
async def test_a_registry_without_head_is_read(site: Site, code: int) -> None:
    site.answers["/v2/api/manifests/1"] = by_method(HEAD=status(code), GET=manifest(digest=DIGEST))
    site.answers[f"/v2/api/manifests/{DIGEST}"] = site.answers["/v2/api/manifests/1"]
    found = await resolve(site)
    assert (found.location, found.size) == (f"{name(site)}/api@{DIGEST}", 42)
    assert await image_exists(found.location, retries=NOW)


async def test_a_registry_that_lies_about_a_digest_is_found_out(site: Site) -> None:
    # Of the bytes, whether it is told by HEAD or beside them, and of the digest that was asked for.
    site.answers["/v2/api/manifests/1"] = manifest(digest=OTHER)
    site.answers[f"/v2/api/manifests/{OTHER}"] = manifest(digest=OTHER)
    with pytest.raises(ArtifactRefused, match=f"the bytes have the digest {DIGEST}, and not {OTHER}"):
        await resolve(site)
    site.answers["/v2/api/manifests/1"] = by_method(HEAD=status(405), GET=manifest(digest=OTHER))
    with pytest.raises(ArtifactRefused, match=f"the bytes have the digest {DIGEST}, and not {OTHER}"):
        await resolve(site)
    site.answers[f"/v2/api/manifests/{OTHER}"] = manifest()
    with pytest.raises(ArtifactRefused, match=f"the bytes have the digest {DIGEST}, and not {OTHER}"):
        await resolve(site, OTHER)
    site.answers[f"/v2/api/manifests/{OTHER}"] = manifest(digest=DIGEST)
    with pytest.raises(ArtifactRefused, match=f"asked for {OTHER}, it answered with {DIGEST}"):
        await resolve(site, OTHER)
    with pytest.raises(ArtifactRefused, match="Something between here and the registry"):
        await image_details(f"{name(site)}/api", OTHER, retries=NOW)


async def test_a_digest_that_answers_with_other_bytes_is_not_there(site: Site) -> None:
    site.answers[f"/v2/api/manifests/{OTHER}"] = by_method(HEAD=status(405), GET=manifest())
    with pytest.raises(ArtifactRefused, match=f"the bytes have the digest {DIGEST}, and not {OTHER}"):
        await image_exists(f"{name(site)}/api@{OTHER}", retries=NOW)


async def test_an_index_that_leads_to_other_bytes_is_found_out(site: Site) -> None:
    machines = ("amd64", "arm64", "arm", "386", "riscv64", "s390x", "ppc64le")
    one = {"mediaType": OCI_MANIFEST, "digest": OTHER, "size": 2}
    manifests = [{**one, "platform": {"os": "linux", "architecture": machine}} for machine in machines]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
    site.answers["/v2/api/manifests/1"] = manifest(index)
    site.answers[f"/v2/api/manifests/{OTHER}"] = manifest()
    with pytest.raises(ArtifactRefused, match=f"the bytes have the digest {DIGEST}, and not {OTHER}"):
        await resolve(site)


async def test_an_image_of_the_first_docker_is_told_as_one(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = manifest(b'{"schemaVersion": 1, "name": "api", "fsLayers": []}')
    with pytest.raises(ArtifactRefused, match="a kind that engines no longer run"):
        await resolve(site)


async def test_a_configuration_with_other_bytes_is_found_out(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = manifest(digest=DIGEST)
    site.answers[f"/v2/api/blobs/{EMPTY}"] = body(b'{"os": "linux"}')
    with pytest.raises(ArtifactRefused, match="the configuration has the digest"):
        await image_details(f"{name(site)}/api", "1", retries=NOW)


async def test_a_registry_that_can_not_say_the_size_any_more_is_believed_the_digest(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = manifest(digest=DIGEST)
    site.answers[f"/v2/api/manifests/{DIGEST}"] = status(429, Retry_After="3600")
    found = await resolve(site)
    assert (found.location, found.size) == (f"{name(site)}/api@{DIGEST}", None)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"config": 1}'])
async def test_what_is_no_manifest_is_refused(site: Site, content: bytes) -> None:
    site.answers["/v2/api/manifests/1"] = manifest(content)
    with pytest.raises(ArtifactRefused, match="its manifest can't be understood"):
        await resolve(site)


async def test_an_answer_without_an_end_is_not_read_to_it(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = manifest(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(ArtifactRefused, match="more than 4194304 bytes"):
        await resolve(site)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_an_error_that_passes_is_waited_for(site: Site, code: int) -> None:
    site.answers["/v2/api/manifests/1"] = in_turn(status(code), status(code, Retry_After="0"), manifest(digest=DIGEST))
    site.answers[f"/v2/api/manifests/{DIGEST}"] = manifest()
    assert (await resolve(site)).size == 42


async def test_an_error_that_stays_is_told_after_a_bounded_number_of_tries(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = status(503)
    with pytest.raises(Unreachable, match=r"HTTP 503 \(4 tries\)"):
        await resolve(site)
    assert len(site.requests) == 4


async def test_a_wait_that_is_longer_than_the_deadline_is_told_at_once(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = status(429, Retry_After="120")
    with pytest.raises(Unreachable, match=r"HTTP 429, and it asks for 120 s of patience.*Try again later"):
        await resolve(site, deadline=60.0)
    assert len(site.requests) == 1


async def test_a_registry_that_is_down_is_named() -> None:
    port = closed_port()
    with pytest.raises(Unreachable) as failed:
        await resolve_image(Artifact(image=f"127.0.0.1:{port}/api"), "1", retries=NOW)
    told = str(failed.value)
    assert told.startswith(f"127.0.0.1:{port}/api: find version 1: no connection: nobody listens there (4 tries)")
    assert "Nothing was changed" in told


@pytest.mark.registry
async def test_a_registry_that_stands_still_ends_at_the_deadline(registry: RealRegistry) -> None:
    pushed = registry.push("still", "1")
    registry.stop()
    try:
        for question in (
            lambda: resolve_image(Artifact(image=f"{registry.name}/still"), "1", deadline=0.3),
            lambda: image_exists(f"{registry.name}/still@{pushed.digest}", deadline=0.3),
            lambda: image_tags(f"{registry.name}/still", deadline=0.3),
        ):
            with pytest.raises(Unreachable, match=rf"{registry.name}/still.*not done within 0\.3 s"):
                await question()
    finally:
        registry.go_on()
    assert await image_tags(f"{registry.name}/still") == ["1"]


@pytest.mark.parametrize(
    ("code", "content", "told"),
    [
        (403, b'{"errors": [{"code": "DENIED", "message": "hunter2"}]}', r"HTTP 403, DENIED"),
        (403, b'{"errors": [{"code": "hunter2"}]}', r"HTTP 403\)"),
        (403, b"hunter2", r"HTTP 403\)"),
    ],
)
async def test_a_refusal_has_the_registry_s_code_and_none_of_its_words(
    site: Site, code: int, content: bytes, told: str
) -> None:
    site.answers["/v2/api/tags/list?n=1000"] = lambda handler: handler.send(code, {}, content)
    with pytest.raises(NotPermitted, match=told) as failed:
        await image_tags(f"{name(site)}/api", retries=NOW)
    assert "hunter2" not in str(failed.value)
    assert f"docker login {name(site)}" in str(failed.value)


@pytest.mark.parametrize("code", [204, 304, 402, 418])
async def test_other_answers_are_told_by_their_number(site: Site, code: int) -> None:
    site.answers["/v2/api/tags/list?n=1000"] = status(code)
    with pytest.raises(BackendError, match=f"HTTP {code}"):
        await image_tags(f"{name(site)}/api", retries=NOW)


async def test_more_tags_than_a_page_has_are_all_seen(site: Site) -> None:
    def page(tags: list[str], after: str = "") -> Answer:
        link = {"Link": after} if after else {}
        return body(json.dumps({"name": "api", "tags": tags}).encode(), **link)

    site.answers["/v2/api/tags/list?n=1000"] = page(["1", "2"], '</v2/api/tags/list?n=1000&last=2>; rel="next"')
    site.answers["/v2/api/tags/list?n=1000&last=2"] = page(["10", "9"], f'<{site.url}/v2/api/tags/list?x>; rel="next"')
    site.answers["/v2/api/tags/list?x"] = page(["not/a tag", "3"], '</v2/api/tags/list?x>; rel="next"')  # a circle
    assert await image_tags(f"{name(site)}/api", retries=NOW) == ["10", "9", "3", "2", "1"]
    assert len(site.requests) == 3
    site.answers["/v2/api/tags/list?n=1000"] = body(b'{"name": "api", "tags": null}')
    assert await image_tags(f"{name(site)}/api", retries=NOW) == []


async def test_a_registry_that_gives_no_pages_of_the_size_asked_for_gives_its_own(site: Site) -> None:
    site.answers["/v2/api/tags/list?n=1000"] = status(400, Docker_Distribution_Api_Version="registry/2.0")
    site.answers["/v2/api/tags/list"] = body(b'{"tags": ["1"]}')
    assert await image_tags(f"{name(site)}/api", retries=NOW) == ["1"]


@pytest.fixture
def logged_in(site: Site, write_config: WriteConfig) -> str:
    """What the registry at ``site`` asks for and gets."""
    write_config({"auths": {name(site): {"auth": basic("ci", "hunter2")}}})
    return f"Basic {basic('ci', 'hunter2')}"


def asks_for_password(then: Answer) -> Answer:
    def answer(handler: Handler) -> None:
        if handler.headers.get("Authorization"):
            then(handler)
        else:
            handler.send(401, {"WWW-Authenticate": 'Basic realm="x"'})

    return answer


async def test_a_login_does_not_follow_a_redirect_to_another_host(site: Site, logged_in: str) -> None:
    with http_site(name="localhost") as other:
        site.answers["/v2/api/manifests/1"] = asks_for_password(redirect(f"{other.url}/store?signature=x", 307))
        other.answers["/store?signature=x"] = manifest(digest=DIGEST)
        site.answers[f"/v2/api/manifests/{DIGEST}"] = manifest(digest=DIGEST)
        assert (await resolve(site)).location.endswith(DIGEST)
        assert [headers.get("authorization") for _, headers in site.requests][:2] == [None, logged_in]
        assert ["authorization" in headers for _, headers in other.requests] == [False]


async def test_another_host_that_asks_for_a_login_gets_none(site: Site, logged_in: str) -> None:
    with http_site(name="localhost") as other:
        site.answers["/v2/api/manifests/1"] = redirect(f"{other.url}/v2/api/manifests/1", 307)
        other.answers["/v2/api/manifests/1"] = asks_for_password(manifest(digest=DIGEST))
        with pytest.raises(NotPermitted):
            await resolve(site)
        assert ["authorization" in headers for _, headers in other.requests] == [False]


async def test_a_login_follows_a_redirect_on_the_same_host(site: Site, logged_in: str) -> None:
    site.answers["/v2/api/manifests/1"] = redirect("/moved")
    site.answers["/moved"] = asks_for_password(manifest(digest=DIGEST))
    site.answers[f"/v2/api/manifests/{DIGEST}"] = manifest(digest=DIGEST)
    assert (await resolve(site)).location.endswith(DIGEST)


async def test_a_list_that_goes_on_at_another_host_is_not_read_there(site: Site, logged_in: str) -> None:
    with http_site(name="localhost") as other:
        link = f'<{other.url}/v2/api/tags/list?n=1000&last=1>; rel="next"'
        site.answers["/v2/api/tags/list?n=1000"] = asks_for_password(body(b'{"tags": ["1"]}', Link=link))
        with pytest.raises(BackendError, match="another host"):
            await image_tags(f"{name(site)}/api", retries=NOW)
        assert other.requests == []


async def test_a_token_server_that_sends_a_posted_login_elsewhere_is_not_followed(
    site: Site, write_config: WriteConfig
) -> None:
    write_config({"auths": {name(site): {"identitytoken": "hunter2"}}})
    with http_site(name="localhost") as other:
        site.answers["/v2/api/tags/list?n=1000"] = status(
            401, WWW_Authenticate=f'Bearer realm="{site.url}/token",service="x"'
        )
        site.answers["/token"] = redirect(f"{other.url}/token", 307)
        with pytest.raises(BackendError, match="no login is sent there"):
            await image_tags(f"{name(site)}/api", retries=NOW)
        assert other.requests == []


@pytest.mark.parametrize("target", ["http://registry.acme.io/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
async def test_nobody_is_sent_to_a_place_without_encryption_or_to_no_web_page(site: Site, target: str) -> None:
    site.answers["/v2/api/manifests/1"] = redirect(target)
    with pytest.raises(BackendError, match=r"without encryption|can't be fetched"):
        await resolve(site)


async def test_a_loop_of_redirects_ends(site: Site) -> None:
    site.answers["/v2/api/manifests/1"] = redirect("/v2/api/manifests/1")
    with pytest.raises(BackendError, match="more than 10 redirects"):
        await resolve(site)


async def test_a_token_server_that_fails_for_a_while_is_waited_for(site: Site) -> None:
    challenge = f'Bearer realm="{site.url}/token"'

    def guarded(handler: Handler) -> None:
        if handler.headers.get("Authorization") == "Bearer abc":
            handler.send(200, {}, b'{"tags": ["1"]}')
        else:
            handler.send(401, {"WWW-Authenticate": challenge})

    site.answers["/v2/api/tags/list?n=1000"] = guarded
    question = "/token?scope=repository%3Aapi%3Apull"
    site.answers[question] = in_turn(status(503), body(b'{"token": "abc"}'))
    assert await image_tags(f"{name(site)}/api", retries=NOW) == ["1"]
    assert site.paths().count(question) == 2


async def test_a_token_that_opened_nothing_is_not_used_again(site: Site) -> None:
    def guarded(handler: Handler) -> None:
        match handler.headers.get("Authorization"):
            case "Bearer two":
                handler.send(200, {}, b'{"tags": ["1"]}')
            case "Bearer one":
                handler.send(403, {})
            case _:
                handler.send(401, {"WWW-Authenticate": f'Bearer realm="{site.url}/token"'})

    site.answers["/v2/api/tags/list?n=1000"] = guarded
    site.answers["/token?scope=repository%3Aapi%3Apull"] = in_turn(body(b'{"token": "one"}'), body(b'{"token": "two"}'))
    with pytest.raises(NotPermitted):
        await image_tags(f"{name(site)}/api", retries=NOW)
    # Meanwhile somebody was given the right, or has logged in with a program that writes nothing into Docker's file.
    assert await image_tags(f"{name(site)}/api", retries=NOW) == ["1"]


async def test_a_token_server_that_stays_down_is_named(site: Site) -> None:
    port = closed_port()
    site.answers["/v2/api/tags/list?n=1000"] = status(
        401, WWW_Authenticate=f'Bearer realm="http://localhost:{port}/token"'
    )
    with pytest.raises(Unreachable, match="localhost: no connection"):
        await image_tags(f"{name(site)}/api", retries=NOW)


async def test_a_registry_that_answers_404_for_a_list_is_no_such_repository(site: Site) -> None:
    with pytest.raises(ArtifactMissing, match="no such repository"):
        await resolve(site)
