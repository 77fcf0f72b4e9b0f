"""What a registry answers about an image, as values: manifests, indexes, configurations. Asks nobody, trusts no size or type."""

import hashlib
import platform
from datetime import UTC, datetime
from typing import Annotated

import msgspec

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join(INDEXES + MANIFESTS)
MAX_MANIFEST_BYTES = 4 * 1024 * 1024  # what the Distribution specification lets registries stop at

# As Docker's own pull: the last two are what old builders wrote.
_CONFIGURATIONS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
    "",
)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}
_Size = Annotated[int, msgspec.Meta(ge=0)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})\Z")]


class NotAnImage(ValueError):
    """The bytes are no manifest of an image; the message is a part of a sentence."""


class ImageDetails(msgspec.Struct, frozen=True):
    """``size`` is bytes of configuration and layers as they are transferred; of an index that of this machine's platform, or the first
    one's. ``created`` is what the builder wrote, for people. ``platforms`` are os/architecture[/variant]."""

    digest: str
    size: int | None
    created: datetime | None
    platforms: tuple[str, ...]


class Platform(msgspec.Struct, frozen=True):
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: _Digest
    size: _Size
    media_type: str = ""
    platform: Platform | None = None

    @property
    def runs_somewhere(self) -> bool:
        """False for what builders put beside images: attestations have the platform unknown/unknown."""
        return self.platform is None or self.platform.os != "unknown"


class Manifest(msgspec.Struct, frozen=True):
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def size(self) -> int:
        return self.config.size + sum(layer.size for layer in self.layers)


class Index(msgspec.Struct, frozen=True):
    manifests: tuple[Descriptor, ...]

    def here(self) -> Descriptor | None:
        """That of linux on this machine's processor."""
        wanted = _MACHINES.get(platform.machine(), platform.machine())
        return next(
            (
                one
                for one in self.manifests
                if one.platform and one.platform.os == "linux" and one.platform.architecture == wanted
            ),
            None,
        )

    def images(self) -> list[Descriptor]:
        return [one for one in self.manifests if one.runs_somewhere]


class Configuration(Platform, frozen=True):
    created: str | None = None

    def when(self) -> datetime | None:
        try:
            time = datetime.fromisoformat(self.created or "")
        except ValueError:
            return None
        return time if time.tzinfo else time.replace(tzinfo=UTC)


class _Shape(msgspec.Struct, rename="camel"):
    media_type: str = ""
    schema_version: int = 0
    manifests: msgspec.Raw = msgspec.Raw()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_manifest(content: bytes, content_type: str) -> Manifest | Index:
    """Told apart by the type in the bytes, which the digest is of; by the header, then by the shape, where they name none.

    Raises ``NotAnImage``.
    """
    try:
        shape = msgspec.json.decode(content, type=_Shape)
        if shape.schema_version == 1:
            raise NotAnImage("it is of a kind that engines no longer run (schema 1)")
        kind = shape.media_type or content_type.partition(";")[0].strip().lower()
        if kind in INDEXES or (kind not in MANIFESTS and bytes(shape.manifests)):
            return msgspec.json.decode(content, type=Index)
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnImage("its manifest can't be understood") from None
    if manifest.config.media_type not in _CONFIGURATIONS:
        raise NotAnImage("it is something else that is kept in a registry, such as a chart or a signature")
    return manifest


def read_configuration(content: bytes) -> Configuration:
    """Raises ``NotAnImage``."""
    try:
        return msgspec.json.decode(content, type=Configuration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnImage("its configuration can't be understood") from None
