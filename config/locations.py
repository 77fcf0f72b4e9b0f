"""Shapes of what lies outside the fleet file: paths of this machine, places of artifacts, texts of configuration files.

Nothing is fetched; the only thing that is opened is a file that `from` names.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quarterdeck.config.nodes import Node, ScalarNode
from quarterdeck.config.scalars import SHA256, Unfit, fill, one_line
from quarterdeck.config.shapes import FromText, Schema
from quarterdeck.config.source import read_bytes

LARGEST_CONFIG_FILE = 1_000_000  # bytes; it is kept in every release and sent to every host
PATH_SCHEMA: Mapping[str, Any] = {"type": "string", "minLength": 1}


def local_path(node: Node, text: str) -> Path:
    """``text`` as an absolute path of this machine: a relative one starts at the file of ``node``, ~ is the home.

    Raises ``Unfit``.
    """
    try:
        return node.source.directory / Path(one_line(text)).expanduser()
    except RuntimeError:
        raise Unfit("there is no such home directory") from None


class LocalPath(FromText, frozen=True):
    """A path on this machine, made absolute."""

    expected: str = "a path"

    def value_of(self, node: ScalarNode) -> Path:
        return local_path(node, node.text)

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return dict(PATH_SCHEMA)


class LocalFileText(FromText, frozen=True):
    """The text of a file beside the fleet file. Relative paths only: what is shipped is reviewed with it."""

    expected: str = "the path of a file, relative to this one"

    def value_of(self, node: ScalarNode) -> str:
        if node.text.startswith(("/", "~")):
            raise Unfit("keep it in the repository, where it is reviewed")
        data = read_bytes(local_path(node, node.text), LARGEST_CONFIG_FILE)
        if isinstance(data, str):
            raise Unfit(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Unfit("it is not UTF-8 text; put such files into the artifact") from None
        if "\0" in text:
            raise Unfit("it contains a NUL character; put such files into the artifact")
        return text

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return dict(PATH_SCHEMA)


class LocalText(FromText, frozen=True):
    """The path of a text file on this machine, made absolute. It must be there; it is read again when it is shown."""

    expected: str = "the path of a text file"

    def value_of(self, node: ScalarNode) -> Path:
        path = local_path(node, node.text)
        text = read_text(path)
        if isinstance(text, Unfit):
            raise text
        return path

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return dict(PATH_SCHEMA)


def read_text(path: Path) -> str | Unfit:
    """What is in the file, as UTF-8; or why it can't be had."""
    data = read_bytes(path, LARGEST_CONFIG_FILE)
    if isinstance(data, str):
        return Unfit(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Unfit("it is not UTF-8 text")


class SecretFile(FromText, frozen=True):
    """A path for a secret; with ``fragment`` it is FILE#key. It is never opened here.

    It stays relative (to the main file's directory) or with its ~: it is part of a release's identity, which must be the
    same on every machine.
    """

    expected: str
    fragment: bool = False

    def value_of(self, node: ScalarNode) -> str:
        if not self.fragment:
            return self._from_root(node, one_line(node.text))
        path, _, key = node.text.rpartition("#")
        if not path.strip() or not key.strip():
            raise Unfit
        return f"{self._from_root(node, one_line(path))}#{one_line(key)}"

    @staticmethod
    def _from_root(node: ScalarNode, path: str) -> str:
        source = node.source
        if path.startswith(("/", "~")) or source.directory == source.root:
            return path
        return os.path.relpath(source.directory / path, source.root)

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return {"type": "string", "pattern": "^.+#[^#]+$"} if self.fragment else dict(PATH_SCHEMA)


class Location(FromText, frozen=True):
    """A path (made absolute) or a URL, in which {version} may stand. ``checksum``: 64 hex digits are right as well."""

    expected: str
    checksum: bool = False

    def value_of(self, node: ScalarNode) -> str:
        if self.checksum and re.fullmatch(SHA256, node.text):
            return node.text.lower()
        fill(node.text, {"version": "1"})
        if is_url(node.text):
            return url(node.text)
        if self.checksum and re.fullmatch(r"[0-9A-Fa-f]{32,}", node.text):
            raise Unfit(f"it has {len(node.text)} hex digits instead of 64")
        return str(local_path(node, node.text))

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return dict(PATH_SCHEMA)


def is_url(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def url(text: str) -> str:
    """A URL of http, https or sftp, without a password. Raises ``Unfit``."""
    try:
        parts = urlsplit(one_line(text))
        _ = parts.port
    except ValueError as error:
        raise error if isinstance(error, Unfit) else Unfit("it is not a valid URL") from None
    if parts.scheme.lower() not in ("http", "https", "sftp"):
        raise Unfit("a URL begins with https://, http:// or sftp://")
    if not parts.hostname or re.search(r"\s", text):
        raise Unfit("it is not a valid URL")
    if parts.password is not None:
        raise Unfit("a fleet file holds no secret, so no password either")
    return text
