"""Says in this program's words why no connection came about: which key, which login, what to do next."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any, Final

import asyncssh

from quarterdeck.backends.errors import HostKeyRejected, LoginRefused, Unreachable
from quarterdeck.backends.hosts.ssh.algorithms import CERTIFICATES, SIGNATURES
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.hosts.ssh.way import Way

_ACTION: Final = "connect"
_USUAL_IDENTITIES: Final = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")


class KeyWatch(asyncssh.SSHClient):
    """Remembers the key that a server showed and that was not trusted. Trusts none itself."""

    def __init__(self) -> None:
        self.shown: asyncssh.SSHKey | None = None
        self._connection: asyncssh.SSHClientConnection | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    def only_weak_host_keys(self) -> str:
        """The kinds of host key that the server offered, where none of them is on our list. Such a server just hangs up.

        Read from its first message of the key exchange (RFC 4253, section 7.1), which asyncssh keeps but does not show.
        """
        message: bytes = getattr(self._connection, "_server_kexinit", b"")
        place = 1 + 16
        kinds = b""
        for _ in range(2):  # the list of key exchanges, then that of host keys
            length = int.from_bytes(message[place : place + 4], "big")
            kinds = message[place + 4 : place + 4 + length]
            place += 4 + length
        offered = kinds.decode("ascii", "replace").split(",")
        return "" if not kinds or set(offered) & {*SIGNATURES, *CERTIFICATES} else ", ".join(offered)

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key
        return False

    def validate_host_ca_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key
        return False


async def explain(host: str, way: Way, error: Exception, watch: KeyWatch) -> Unreachable:
    """The error of ours for what asyncssh or the operating system said."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return _host_key(host, way, error, watch)
        case asyncssh.PermissionDenied():
            return LoginRefused(
                host,
                _ACTION,
                f"{way.user}@{way.address}:{way.port} accepts none of the keys that were offered: {await _offered(way)}",
                advice=f"put one of them into authorized_keys there, load another into the agent, or set IdentityFile; "
                f"see: {way.by_hand}",
            )
        case asyncssh.KeyExchangeFailed() | asyncssh.ProtocolNotSupported():
            return Unreachable(
                host,
                _ACTION,
                f"its SSH server offers only algorithms that are too weak ({error.reason})",
                advice="update the SSH server, or allow curve25519-sha256 and aes256-gcm@openssh.com there",
            )
        case asyncssh.ConnectionLost() | ConnectionResetError() if watch.only_weak_host_keys():
            return Unreachable(
                host,
                _ACTION,
                f"its SSH server has only host keys that are too weak ({watch.only_weak_host_keys()})",
                advice="give it an Ed25519 host key (ssh-keygen -A), or update it",
            )
        case socket.gaierror():
            return Unreachable(
                host, _ACTION, f"the name {way.address} is unknown", advice="check the host's ssh entry and the DNS"
            )
        case ConnectionRefusedError():
            return Unreachable(
                host,
                _ACTION,
                f"{way.address}:{way.port} refused the connection",
                advice=f"is its SSH server running, the port right? See: {way.by_hand}",
            )
        case asyncssh.ChannelOpenError():
            return Unreachable(
                host,
                _ACTION,
                f"the jump host can't reach {way.address}:{way.port}: {error.reason}",
                advice=f"is the address right as the jump host sees it? See: {way.by_hand}",
            )
        case asyncssh.ConnectionLost() | ConnectionResetError() | BrokenPipeError():
            return Unreachable(
                host,
                _ACTION,
                f"{way.address}:{way.port} closed the connection before the login, again and again",
                advice="its sshd may be overloaded (MaxStartups) or refuse this address",
            )
        case _:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Unreachable(
                host,
                _ACTION,
                f"{way.address}:{way.port}: {reason}",
                advice=f"is the address right, the host up? See: {way.by_hand}",
            )


def _host_key(host: str, way: Way, error: asyncssh.HostKeyNotVerifiable, watch: KeyWatch) -> HostKeyRejected:
    place = way.key_name if way.port == 22 else f"[{way.key_name}]:{way.port}"
    files = [name for name in way.trusted.files if os.path.exists(name)] or list(way.trusted.files[:1])
    where, first = ", ".join(files), files[0]
    reason = str(error.reason)
    if "revoked" in reason:
        return HostKeyRejected(
            host,
            _ACTION,
            f"the key that {place} shows is marked as revoked in {where}",
            advice="find out who answers there before anything else",
        )
    if watch.shown is None:
        return HostKeyRejected(
            host, _ACTION, f"the host key of {place} can't be verified: {reason}", advice=f"see: {way.by_hand}"
        )
    fingerprint = watch.shown.get_fingerprint()
    kind = watch.shown.get_algorithm()
    known = _known(way)
    if known:
        return HostKeyRejected(
            host,
            _ACTION,
            f"{place} shows another host key than the one in {where}: {kind} {fingerprint}, known is {known}",
            advice="somebody may be listening in. If the host was really reinstalled: "
            f"ssh-keygen -R {quote(place)} -f {quote(first)}, then add its new key after checking it",
        )
    line = " ".join(watch.shown.export_public_key().decode().split()[:2])
    return HostKeyRejected(
        host,
        _ACTION,
        f"the host key of {place} is unknown: {kind} {fingerprint} is not in {where}",
        advice=f"check the fingerprint with the host's owner, then add this line to {first}: {place} {line}",
    )


def _known(way: Way) -> str:
    try:
        trusted: list[Any] = list(way.trusted(way.key_name, "", way.port if way.port != 22 else None)[0])
    except ValueError:
        return ""
    return ", ".join(f"{key.get_algorithm()} {key.get_fingerprint()}" for key in trusted)


async def _offered(way: Way) -> str:
    """The keys that were offered, as far as they can be read without a passphrase: files and the agent's."""
    found = await asyncio.to_thread(_identity_files, way)
    if os.environ.get("SSH_AUTH_SOCK"):
        try:
            async with asyncio.timeout(2):
                agent = await asyncssh.connect_agent()
                keys = list(await agent.get_keys())
                agent.close()
            found.append(f"the agent's {len(keys)} key" + ("" if len(keys) == 1 else "s"))
        except (OSError, TimeoutError, ValueError, asyncssh.Error):
            found.append("an agent that does not answer")
    return ", ".join(found) or "none (no identity file, no agent)"


def _identity_files(way: Way) -> list[str]:
    found: list[str] = []
    for name in way.identities or tuple(f"~/.ssh/{name}" for name in _USUAL_IDENTITIES):
        try:
            path = Path(name).expanduser()
        except RuntimeError:  # ~somebody, who is not here
            path = Path(name)
        if not path.is_file():
            if way.identities:
                found.append(f"{path} (not there)")
            continue
        try:
            public = Path(f"{path}.pub")
            key = asyncssh.read_public_key(public if public.is_file() else path)
            found.append(f"{path} {key.get_fingerprint()}")
        except (asyncssh.KeyImportError, OSError):
            found.append(f"{path} (not readable without its passphrase)")
    return found
