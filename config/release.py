"""A release: the immutable unit that is put on hosts and put back. Its identity is a hash over all that makes it."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.model import ConfigFile, Health, Hooks, Logs, Runner, SecretReference


class ResolvedArtifact(msgspec.Struct, frozen=True):
    """What a version stood for when it was resolved: the bytes are named by their SHA-256, ``location`` is where they
    were."""

    location: str  # of an image: <repository>@sha256:<digest>
    sha256: str  # 64 hex digits; of an image: its digest
    size: int | None = None  # bytes


class SecretRecord(msgspec.Struct, frozen=True):
    """A secret as a release remembers it: the reference and a salted fingerprint of the value, never the value."""

    reference: SecretReference
    fingerprint: str  # "<salt>:<hex of scrypt>"; see backends.secrets


class Release(msgspec.Struct, frozen=True, dict=True):
    """Artifact + rendered configuration + how it is run. Rolling back puts all of it back. (``dict``: its hash is kept.)"""

    target: str
    version: str
    artifact: ResolvedArtifact
    path: str
    runner: Runner
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    files: tuple[ConfigFile, ...] = ()
    secrets: Mapping[str, SecretRecord] = msgspec.field(default_factory=dict)
    health: Health | None = None
    hooks: Hooks = msgspec.field(default_factory=Hooks)
    logs: Logs | None = None
    commit: str | None = None  # of the source, where it was known; follows from the version: no part of the identity
    created: str = ""  # ISO 8601 UTC; for people, no part of the identity
    created_by: str = ""
    container: ContainerSpec | None = None

    @property
    def id(self) -> str:
        """``<version>-<10 hex digits>``: safe as a directory's name; the same content always gives the same id."""
        return f"{self.version}-{self.digest[:10]}"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what makes this release; see ``_digest``."""
        return self._digest

    @cached_property  # the name begins with _ so that it is no part of the JSON
    def _digest(self) -> str:
        """SHA-256 (hex) over the canonical JSON of everything but when, by whom, the commit, the location and the
        fingerprints' salts."""
        body = to_json(self)
        body["commit"] = None  # whether git answered when it was asked for makes no other release of it
        for key in ("created", "created_by"):
            body.pop(key, None)
        if self.container is None:
            del body["container"]  # releases from before there were containers keep their identity
        else:
            _without_swarm(body["container"])
        if not self.hooks.steps:
            del body["hooks"]["steps"]  # so do those from before there were canaries
        if self.runner.slots is None:
            del body["runner"]["slots"]  # and those from before there were slots
        body["artifact"] = self.artifact.sha256
        body["secrets"] = {name: [r.reference.kind, r.reference.source] for name, r in sorted(self.secrets.items())}
        import hashlib  # OpenSSL with it: who only shows releases needs none

        return hashlib.sha256(canonical(body)).hexdigest()


def _without_swarm(container: dict[str, Any]) -> None:
    """Releases from before there were swarms keep their identity, and so do those that say nothing that only a swarm can do."""
    if container["deploy"] is None:
        del container["deploy"]
    for port in container["ports"]:
        if not port["mode"]:
            del port["mode"]


def canonical(value: Any) -> bytes:
    """JSON in one form only: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def to_json(value: Any) -> Any:
    """A value of this floor (a struct, enum, path, tuple, mapping) as plain JSON types."""
    return msgspec.to_builtins(value)


def release_from_json(body: Any) -> Release:
    """Raises ``ValueError`` (msgspec.ValidationError) when ``body`` is not a release."""
    return msgspec.convert(body, Release)
