"""Which loopback addresses and ports a playground takes: found by binding, so that what is given out is free."""

import contextlib
import errno
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quarterdeck.backends.playground.layout import SERVICES, PlaygroundError

PORT_BLOCKS = range(17000, 32000, 100)  # below the ports that the kernel gives to clients
SSH_PORT, FIRST_SERVICE_PORT = 22, 80  # within a block
CLAIM = 254  # last number of the address that marks a network as taken


class Claimed(msgspec.Struct, frozen=True):
    """``listeners``: a bound socket for each host's SSH; ``claim`` keeps other playgrounds off while it is open."""

    addresses: tuple[str, ...]
    ssh_port: int
    services: dict[str, int]
    listeners: tuple[socket.socket, ...]
    claim: socket.socket


def claim(directory: Path, count: int) -> Claimed:
    """Addresses for ``count`` hosts and ports that are free on all. Raises ``PlaygroundError``: there are none."""
    for network in _networks(directory):
        for block in PORT_BLOCKS:
            addresses = tuple(f"{network}.{number}" for number in range(1, count + 1))
            services = {name: block + FIRST_SERVICE_PORT + number for number, name in enumerate(SERVICES)}
            with contextlib.ExitStack() as opened:
                try:
                    mark = opened.enter_context(bound(f"{network}.{CLAIM}", block + SSH_PORT, reuse=False))
                    listeners = [opened.enter_context(bound(address, block + SSH_PORT)) for address in addresses]
                    for address in addresses:
                        for port in services.values():
                            bound(address, port).close()
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        continue
                    raise PlaygroundError(
                        "start the playground",
                        f"can't listen on {network}.x ({error.strerror})",
                        advice="It needs the whole network 127.0.0.0/8 on the loopback interface, as Linux has it",
                    ) from error
                opened.pop_all()  # all of them stay open
                return Claimed(addresses, block + SSH_PORT, services, tuple(listeners), mark)
    raise PlaygroundError("start the playground", "no free ports on the loopback addresses")


def bound(address: str, port: int, *, reuse: bool = True) -> socket.socket:
    """A socket at the address that does not listen yet. Raises ``OSError``."""
    opened = socket.socket()
    try:
        if reuse:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _networks(directory: Path) -> Iterator[str]:
    """The first three numbers of an address; the same directory begins with the same ones."""
    digest = hashlib.sha256(str(directory).encode()).digest()
    for first, second in zip(digest[0:16:2], digest[1:16:2], strict=True):
        yield f"127.{10 + first % 240}.{second}"
