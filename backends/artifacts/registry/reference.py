"""Names of images as Docker reads them: which registry ``nginx`` or ``registry.acme.io:5000/team/api`` is in. Opens nothing."""

import re

import msgspec

from quarterdeck.backends.artifacts.location import shown_name
from quarterdeck.backends.errors import THIS_MACHINE, ArtifactRefused

DOCKER_HUB = "docker.io"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DOMAIN = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_REGISTRY = re.compile(rf"(?:{_DOMAIN}(?:\.{_DOMAIN})*|\[[A-Fa-f0-9:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_MAX_NAME = 255
_HUB_HOSTS = ("index.docker.io", "registry-1.docker.io")


class Repository(msgspec.Struct, frozen=True):
    """``registry`` is host[:port] as it is written in a name, ``path`` what follows: docker.io and library/nginx."""

    registry: str
    path: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"

    @property
    def authority(self) -> str:
        """host[:port] that answers."""
        return "registry-1.docker.io" if self.registry == DOCKER_HUB else self.registry

    @property
    def login_server(self) -> str:
        """What Docker calls the registry where it keeps and asks for logins."""
        return "https://index.docker.io/v1/" if self.registry == DOCKER_HUB else self.registry

    @property
    def login_command(self) -> str:
        return "docker login" if self.registry == DOCKER_HUB else f"docker login {self.registry}"


def parse_repository(text: str) -> Repository:
    """Docker's grammar and defaults. Raises ``ArtifactRefused`` for what is no repository, or has a tag or digest."""
    first, slash, rest = text.partition("/")
    # As Docker tells a host from a part of the path: a dot, a port, an upper-case letter, or localhost.
    if slash and (any(mark in first for mark in ".:") or first == "localhost" or first != first.lower()):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, text
    if registry in _HUB_HOSTS:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    last = path.rpartition("/")[2]
    if "@" in last or ":" in last:
        raise _refused(text, "it has a tag or a digest", "Write it without: the version is the tag")
    if re.fullmatch(r"[0-9a-f]{64}", text):
        raise _refused(text, "64 hex digits are the name of no repository")
    if not _REGISTRY.fullmatch(registry) or not _PATH.fullmatch(path) or len(registry) + 1 + len(path) > _MAX_NAME:
        raise _refused(
            text, "it is not the name of a repository", "As for docker pull: nginx, registry.acme.io/team/api"
        )
    return Repository(registry, path)


def parse_location(location: str) -> tuple[Repository, str]:
    """A resolved image ``<repository>@sha256:…``: the repository and the digest. Raises ``ArtifactRefused``."""
    name, _, digest = location.rpartition("@")
    if not DIGEST.fullmatch(digest):
        raise _refused(location, "it does not end with @sha256: and 64 hex digits")
    return parse_repository(name), digest


def check_reference(version: str) -> None:
    """Raises ``ArtifactRefused`` unless ``version`` is a tag or a SHA-256 digest."""
    if not _TAG.fullmatch(version) and not DIGEST.fullmatch(version):
        raise ArtifactRefused(
            THIS_MACHINE,
            f"find version {shown_name(version)}",
            "this can't be an image's version",
            left="Nothing was changed",
            advice="A tag has 1 to 128 letters, digits and _ . -, and begins with neither . nor -; a digest is sha256: and 64 hex digits",
        )


def _refused(text: str, problem: str, advice: str = "") -> ArtifactRefused:
    return ArtifactRefused(
        THIS_MACHINE, f"use the image {shown_name(text)}", problem, left="Nothing was changed", advice=advice
    )
