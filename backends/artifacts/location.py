"""Where an artifact lies, as a value: a path or a URL with the version filled in. Opens nothing."""

import posixpath
import re
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit

import msgspec

from quarterdeck.backends.errors import THIS_MACHINE, ArtifactRefused

PLACEHOLDER = "{version}"
VERSION_PATTERN = r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,79}"


class Kind(StrEnum):
    PATH = "path"
    HTTP = "http"
    SFTP = "sftp"


class Location(msgspec.Struct, frozen=True):
    """``text`` as written; ``host`` as ssh is given it; ``path`` decoded; ``place`` fit to be shown."""

    text: str
    kind: Kind
    host: str
    path: str
    place: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return posixpath.basename(self.path)

    @property
    def shown(self) -> str:
        """The file as an error may name it: without a query, which may hold a token."""
        return self.path if self.kind is Kind.PATH else self.place


def shown_name(name: str) -> str:
    """A name from outside, quoted, without control characters and not too long for a sentence."""
    return repr(name if len(name) <= 120 else name[:117] + "…")


def refused(version: str, problem: str, *, host: str = THIS_MACHINE, advice: str = "") -> ArtifactRefused:
    return ArtifactRefused(
        host, f"find version {shown_name(version)}", problem, left="Nothing was changed", advice=advice
    )


def check_version(version: str) -> None:
    """Raises ``ArtifactRefused`` unless ``version`` is safe as a part of a path, a URL and a command."""
    if not re.fullmatch(VERSION_PATTERN, version):
        raise refused(
            version,
            "this can't be a version",
            advice="A version has 1 to 80 letters, digits and . _ + -, and begins with neither . nor -",
        )


def fill(template: str, version: str) -> str:
    """``template`` with ``{version}`` replaced; in an HTTP URL a plus is written %2B, which a query and S3 need."""
    text = quote(version, safe="") if template.lower().startswith(("http://", "https://")) else version
    return template.replace(PLACEHOLDER, text)


def parse(text: str, version: str) -> Location:
    """Raises ``ArtifactRefused`` for what is neither an absolute path nor a URL that can be fetched."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        if not text.startswith("/"):
            raise refused(version, f"{shown_name(text)} is not an absolute path")
        return Location(text, Kind.PATH, THIS_MACHINE, posixpath.normpath(text), THIS_MACHINE)
    scheme = scheme.lower()
    if scheme not in ("http", "https", "sftp"):
        raise refused(version, f"{shown_name(scheme)}:// is no place that artifacts can come from", advice=KINDS)
    if any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in text):
        raise refused(version, "the URL has a space or a control character in it", advice="Write it as %20")
    if scheme == "sftp":
        return _sftp(text, rest, version)
    return _http(text, version)


KINDS = "Give an absolute path, or a URL that begins with https://, http:// or sftp://"


def _http(text: str, version: str) -> Location:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refused(version, "the URL can't be understood") from None
    if not host:
        raise refused(version, "the URL names no host")
    if parts.username is not None or parts.password is not None:
        raise refused(
            version, f"the URL for {host} has a login in it, which would be kept in the journal", advice=NETRC_ADVICE
        )
    bracketed = f"[{host}]" if ":" in host else host
    place = f"{parts.scheme.lower()}://{bracketed}" + (f":{port}" if port else "") + parts.path
    return Location(text, Kind.HTTP, host, unquote(parts.path), place)


NETRC_ADVICE = "Put the login into ~/.netrc"


def _sftp(text: str, rest: str, version: str) -> Location:
    authority, _, path = rest.partition("/")
    user, at, address = authority.rpartition("@")
    if ":" in user:
        raise refused(
            version, "the sftp:// URL has a password in it", advice="Use a key: see ssh-add and ~/.ssh/config"
        )
    if not address or address.startswith(("-", ":")) or user.startswith("-") or (at and not user):
        raise refused(version, "the sftp:// URL names no host")
    # What follows the host is a path, whatever is in it; ~/ is below the login's home directory, as with curl.
    path = unquote(path)
    path = path[2:] if path.startswith("~/") else "/" + path
    if not path.strip("/") or "\0" in path:
        raise refused(version, "the sftp:// URL names no file")
    shown = path if path.startswith("/") else f"/~/{path}"
    return Location(text, Kind.SFTP, authority, path, f"sftp://{authority}{shown}")
