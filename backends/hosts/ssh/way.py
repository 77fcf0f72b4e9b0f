"""How a host is reached: what ``~/.ssh/config`` says of its name, before any connection is made."""

import getpass
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from asyncssh.config import SSHClientConfig

from quarterdeck.backends.hosts.ssh.host_keys import TrustedKeys, known_hosts_files

_SSH_PORT: Final = 22


class Destination(msgspec.Struct, frozen=True):
    """What a user gives to ``ssh``. ``port`` and ``user`` None: the configuration's, else the defaults."""

    name: str
    port: int | None = None
    user: str | None = None

    @property
    def written(self) -> str:
        address = f"[{self.name}]" if ":" in self.name else self.name
        return (f"{self.user}@" if self.user else "") + address + (f":{self.port}" if self.port else "")


class Way(msgspec.Struct, frozen=True):
    """``address`` and ``port`` are where the last connection goes; ``jumps`` come first, in order.

    ``key_name`` is what the host is called in known_hosts.
    """

    destination: Destination
    address: str
    port: int
    user: str
    key_name: str
    jumps: tuple[Destination, ...]
    proxy_command: bool
    identities: tuple[str, ...]
    trusted: TrustedKeys
    config_files: tuple[str, ...] = ()  # those that are used instead of ~/.ssh/config

    @property
    def by_hand(self) -> str:
        """The ``ssh`` command that goes the same way, to be typed by a person who wants to see why it fails."""
        to, config = self.destination, self.config_files
        words = ["ssh", "-v"]
        if len(config) > 1:  # ssh reads one file: what they say together is spelled out
            words += ["-F", "none", "-p", str(self.port)]
            words += [word for identity in self.identities for word in ("-i", identity)]
            jumps = ",".join(jump.written for jump in self.jumps)
            words += ["-J", jumps] if jumps else []
            words += ["-o", f"HostKeyAlias={self.key_name}"] if self.key_name != self.address else []
            return shlex.join([*words, f"{self.user}@{self.address}", "true"])
        words += ["-F", config[0]] if config else []
        words += ["-p", str(to.port)] if to.port else []
        return shlex.join([*words, f"{to.user}@{to.name}" if to.user else to.name, "true"])


def parse_destination(text: str) -> Destination:
    """``[user@]address[:port]`` or a name of the configuration. Raises ``ValueError`` where it can't be read."""
    user, at, rest = text.rpartition("@")
    if at and not user:
        raise ValueError(f"{text!r} has no user before the @")
    port: int | None = None
    if rest.startswith("["):
        address, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(f"{text!r} is not [address]:port")
        port_text = tail[1:]
    elif rest.count(":") == 1:
        address, _, port_text = rest.partition(":")
    else:
        address, port_text = rest, ""  # a name, or an IPv6 address without a port
    if port_text:
        if not port_text.isdigit() or not 0 < int(port_text) < 65536:
            raise ValueError(f"{port_text!r} is not a port")
        port = int(port_text)
    if not address or address.startswith("-") or any(character.isspace() for character in address):
        raise ValueError(f"{text!r} names no host")
    return Destination(address, port, user or None)


def find_way(destination: Destination, config_files: Sequence[Path], known_hosts: Sequence[Path]) -> Way:
    """Reads the configuration (none given: ``~/.ssh/config``). Raises ``ValueError`` (a line that can't be read) or ``OSError``."""
    local_user = getpass.getuser()
    given = tuple(str(path) for path in config_files)
    if not config_files:
        usual = Path("~/.ssh/config").expanduser()
        config_files = [usual] if usual.is_file() else []
    config = SSHClientConfig.load(
        None,
        [str(path) for path in config_files],
        False,
        False,
        False,
        local_user,
        destination.user or (),
        destination.name,
        destination.port or (),
    )
    address = str(config.get("Hostname") or destination.name)
    port = destination.port or int(str(config.get("Port") or _SSH_PORT))
    jump = config.get("ProxyJump")
    jumps = tuple(parse_destination(part.removeprefix("ssh://")) for part in str(jump).split(",")) if jump else ()
    identities = config.get("IdentityFile")
    files = known_hosts_files(known_hosts, config.get("UserKnownHostsFile"), config.get("GlobalKnownHostsFile"))
    return Way(
        destination=destination,
        address=address,
        port=port,
        user=destination.user or str(config.get("User") or local_user),
        key_name=str(config.get("HostKeyAlias") or address),
        jumps=jumps,
        proxy_command=bool(config.get("ProxyCommand")) and not jumps,
        identities=tuple(str(name) for name in identities) if isinstance(identities, list) else (),
        trusted=TrustedKeys(tuple(str(path) for path in files)),
        config_files=given,
    )
