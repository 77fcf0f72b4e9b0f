"""Which host keys are trusted: always looked up in files, whatever a configuration says. Checking can't be turned off here."""

import contextlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import asyncssh
import msgspec

from quarterdeck.backends.hosts.ssh.algorithms import CERTIFICATES, SIGNATURES

_DEFAULT_FILES: Final = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)
_NO_FILES: Final = ("none", "/dev/null")


def known_hosts_files(fleet: Sequence[Path], user: object, system: object) -> list[Path]:
    """The files that are read: the fleet's; else those of ssh_config (``user``, ``system``: the values of ``UserKnownHostsFile`` and
    ``GlobalKnownHostsFile``) that are real files; else the usual ones. «none» and /dev/null mean the usual ones, never «unchecked».
    """
    if fleet:
        return [path.expanduser() for path in fleet]
    named: list[Path] = []
    for value in (user, system):
        if isinstance(value, (list, tuple)):
            for name in value:
                with contextlib.suppress(RuntimeError):  # ~somebody: who is not here has no file
                    named += [] if str(name).lower() in _NO_FILES else [Path(str(name)).expanduser()]
    real = [path for path in named if path.is_file()]
    return real or [Path(name).expanduser() for name in _DEFAULT_FILES]


@lru_cache(maxsize=16)
def _load(path: str, _modified: int, _size: int) -> asyncssh.SSHKnownHosts:
    """Read once for as long as the file stays as it is."""
    return asyncssh.import_known_hosts(Path(path).read_text(encoding="utf-8", errors="replace"))


class UnreadableFile(ValueError):
    """A file with host keys is there, and this user may not read it."""


class TrustedKeys(msgspec.Struct):
    """The keys that files hold for a host. Called by asyncssh with (host, address, port); the address plays no part: a
    trusted key for a name is not a key for another name that leads to the same address.
    """

    files: tuple[str, ...]
    problems: list[str] = msgspec.field(default_factory=list)

    def lists(self) -> list[asyncssh.SSHKnownHosts]:
        """Raises ``ValueError`` for a line that can't be read, with the file's name."""
        found = []
        for name in self.files:
            try:
                state = os.stat(name)
                found.append(_load(name, state.st_mtime_ns, state.st_size))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise UnreadableFile(f"{name} can't be read: {error.strerror}") from None
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return found

    def __call__(self, host: str, _address: str, port: int | None) -> Sequence[Any]:
        trusted: list[Any] = []
        authorities: list[Any] = []
        revoked: list[Any] = []
        for known in self.lists():
            keys, cas, banned, *_ = known.match(host, "", port)
            trusted += keys
            authorities += cas
            revoked += banned
            if port:
                # A key revoked for the host is revoked on each of its ports.
                revoked += known.match(host, "", None)[2]
        return trusted, authorities, revoked

    def algorithms(self, host: str, port: int) -> list[str]:
        """What to ask the server of ``host`` for. Raises ``ValueError`` as ``lists`` does."""
        trusted, authorities, _ = self(host, "", port if port != 22 else None)
        return host_key_algorithms(trusted, authorities=bool(authorities))


def host_key_algorithms(trusted: Sequence[Any], *, authorities: bool) -> list[str]:
    """What to ask the server for: kinds of key that are known for it come first; SHA-1 never."""
    wanted = [algorithm.decode() for key in trusted for algorithm in key.sig_algorithms]
    ordered = dict.fromkeys([*(name for name in wanted if name in SIGNATURES), *SIGNATURES])
    return [*(CERTIFICATES if authorities else ()), *ordered]
