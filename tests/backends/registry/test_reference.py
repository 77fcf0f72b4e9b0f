"""Names of images mean what they mean to Docker."""

import pytest

from quarterdeck.backends.artifacts.registry.reference import (
    check_reference,
    parse_location,
    parse_repository,
)
from quarterdeck.backends.errors import ArtifactRefused
from quarterdeck.config.web_servers import is_loopback


@pytest.mark.parametrize(
    ("text", "registry", "path"),
    [
        ("nginx", "docker.io", "library/nginx"),
        ("acme/api", "docker.io", "acme/api"),
        ("acme/team/api", "docker.io", "acme/team/api"),
        ("docker.io/nginx", "docker.io", "library/nginx"),
        ("docker.io/acme/api", "docker.io", "acme/api"),
        ("index.docker.io/nginx", "docker.io", "library/nginx"),
        ("registry-1.docker.io/acme/api", "docker.io", "acme/api"),
        ("registry.acme.io/api", "registry.acme.io", "api"),
        ("registry.acme.io:5000/team/api", "registry.acme.io:5000", "team/api"),
        ("registry:5000/api", "registry:5000", "api"),
        ("localhost/api", "localhost", "api"),
        ("localhost:5000/api", "localhost:5000", "api"),
        ("127.0.0.1:5000/a.b/c__d/e--f", "127.0.0.1:5000", "a.b/c__d/e--f"),
        ("[::1]:5000/api", "[::1]:5000", "api"),
        ("Registry/api", "Registry", "api"),
        ("ghcr.io/acme/api", "ghcr.io", "acme/api"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, registry: str, path: str) -> None:
    found = parse_repository(text)
    assert (found.registry, found.path) == (registry, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/api",
        "api/",
        "acme//api",
        "Api",
        "acme/Api",
        "acme/api_",
        "acme/a___b",
        "acme/.api",
        "registry.acme.io/",
        "registry.acme.io:port/api",
        "-registry.acme.io/api",
        "https://registry.acme.io/api",
        "user:password@registry.acme.io/api",
        "registry.acme.io/a b",
        "registry.acme.io/api\n",
        "registry.acme.io/../api",
        "../x.y/api",
        "a" * 64,
        "registry.acme.io/" + "a" * 250,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ArtifactRefused, match=r"Nothing was changed"):
        parse_repository(text)


@pytest.mark.parametrize("text", ["nginx:1.27", "registry.acme.io:5000/api:v1", f"nginx@sha256:{'a' * 64}"])
def test_a_tag_in_the_name_is_named(text: str) -> None:
    with pytest.raises(ArtifactRefused, match="the version is the tag"):
        parse_repository(text)


def test_docker_hub_has_names_of_its_own() -> None:
    hub, other = parse_repository("nginx"), parse_repository("registry.acme.io:5000/api")
    assert (hub.authority, hub.login_server) == ("registry-1.docker.io", "https://index.docker.io/v1/")
    assert (hub.login_command, str(hub)) == ("docker login", "docker.io/library/nginx")
    assert (other.authority, other.login_server) == ("registry.acme.io:5000",) * 2
    assert (other.login_command, str(other)) == ("docker login registry.acme.io:5000", "registry.acme.io:5000/api")


def test_a_location_is_a_repository_and_a_digest() -> None:
    digest = f"sha256:{'0a' * 32}"
    repository, found = parse_location(f"localhost:5000/api@{digest}")
    assert (str(repository), found) == ("localhost:5000/api", digest)
    for bad in ("localhost:5000/api", "localhost:5000/api:1.0", f"api:1@{digest}", f"{digest}", "api@sha256:12"):
        with pytest.raises(ArtifactRefused):
            parse_location(bad)


def test_versions_are_tags_or_digests() -> None:
    for good in ("1.0", "v1.2.3-rc.1", "_x", "a" * 128, f"sha256:{'0' * 64}"):
        check_reference(good)
    for bad in ("", ".1", "-1", "1.0+b1", "a/b", "a:b", "a" * 129, "1\n", f"sha256:{'0' * 63}", f"sha512:{'0' * 128}"):
        with pytest.raises(ArtifactRefused, match="can't be an image's version"):
            check_reference(bad)


def test_only_this_machine_by_its_own_names_is_loopback() -> None:
    for name in ("localhost", "localhost:5000", "LOCALHOST:5000", "127.0.0.1", "127.4.5.6:80", "[::1]:5000", "[::1]"):
        assert is_loopback(name), name
    for name in ("localhost.acme.io", "127.0.0.1.acme.io", "128.0.0.1:80", "[::2]:80", "10.0.0.1", "[", ""):
        assert not is_loopback(name), name
