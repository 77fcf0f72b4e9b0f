"""One round of health checks, made as the host sees its service: over the SSH connection, without a tool on the host where possible."""

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import asyncssh
import h11

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import HealthOutcome
from quarterdeck.backends.hosts.ssh.channel import lost
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import CommandCheck, Health, HttpCheck, TcpCheck
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.ssh.connection import SshConnection

_BODY_KEPT: Final = 1024 * 1024
_HERE: Final = "127.0.0.1"
_Streams = tuple[Any, Any]  # reader and writer, of asyncio or asyncssh: the same words


class _ForwardingRefused(Exception):
    """The server opens no connections for us."""


async def check_once(connection: "SshConnection", health: Health, release: Release) -> HealthOutcome:
    """All checks that are set, in order, until one fails."""
    started = time.monotonic()
    details: list[str] = []
    for check in (health.http, health.tcp, health.command):
        if check is None:
            continue
        healthy, detail = await _one(connection, health, check, release)
        details.append(detail)
        if not healthy:
            return HealthOutcome(False, detail, time.monotonic() - started, len(details))
    return HealthOutcome(True, ", ".join(details), time.monotonic() - started, len(details))


async def _one(
    connection: "SshConnection", health: Health, check: HttpCheck | TcpCheck | CommandCheck, release: Release
) -> tuple[bool, str]:
    if isinstance(check, CommandCheck):
        return await _command(connection, check, release, health.timeout)
    from_here = health.made_from == "bastion"
    # 127.0.0.1 is the default: seen from here, the host itself is meant.
    address = connection.address if from_here and check.host == _HERE else check.host
    where = _place(address, check) if from_here or check.host != _HERE else _place("", check)
    try:
        async with asyncio.timeout(health.timeout):
            if from_here:
                streams: _Streams = await asyncio.open_connection(address, check.port)
            elif connection.forwarding:
                streams = await _through(connection, address, check.port, where)
            else:
                raise _ForwardingRefused
            try:
                if isinstance(check, TcpCheck):
                    return True, f"{where} accepts connections"
                status, body = await _ask(streams, check, address)
                return _judge(check, release, where, status, body)
            finally:
                with suppress(OSError, asyncssh.Error):
                    streams[1].close()
    except TimeoutError:
        return False, f"no answer from {where} within {health.timeout:g} s"
    except _ForwardingRefused:
        return await _by_tool(connection, check, release, where, health.timeout)
    except ConnectionRefusedError:
        return False, f"refused by {where}"
    except h11.RemoteProtocolError as error:
        return False, f"no HTTP answer from {where}: {clean(str(error))}"
    except (OSError, EOFError) as error:
        return False, f"{where}: {getattr(error, 'strerror', None) or error}"


def _place(address: str, check: HttpCheck | TcpCheck) -> str:
    return f"{address}:{check.port}{check.path if isinstance(check, HttpCheck) else ''}"


async def _through(connection: "SshConnection", address: str, port: int, where: str) -> _Streams:
    """A connection made by the host's SSH server. Raises ``ConnectionRefusedError`` when nothing listens there."""
    try:
        return await connection.ssh.open_connection(address, port, encoding=None)
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            connection.forwarding = False
            raise _ForwardingRefused from None
        if error.code == asyncssh.OPEN_CONNECT_FAILED and not connection.ssh.is_closed():
            raise ConnectionRefusedError(error.reason) from None
        raise lost(connection.host, f"check {where}", asyncssh.ConnectionLost(error.reason), started=False) from None
    except asyncssh.Error as error:
        raise lost(connection.host, f"check {where}", error, started=False) from None


async def _ask(streams: _Streams, check: HttpCheck, address: str) -> tuple[int, bytes]:
    """One GET; the status and at most 1 MiB of the body (none where no text is looked for)."""
    reader, writer = streams
    client = h11.Connection(h11.CLIENT)
    name = f"[{address}]" if ":" in address else address
    request = h11.Request(
        method="GET",
        target=check.path,
        headers=[
            ("Host", f"{name}:{check.port}"),
            ("User-Agent", "quarterdeck"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    writer.write(client.send(request) + client.send(h11.EndOfMessage()))
    status, body = 0, bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            if check.contains is None:
                return status, b""
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _BODY_KEPT:
                return status, bytes(body[:_BODY_KEPT])
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return status, bytes(body)


def _judge(check: HttpCheck, release: Release, where: str, status: int, body: bytes) -> tuple[bool, str]:
    if status != check.status:
        return False, f"http {status} from {where}" + (f", not {check.status}" if status < 400 else "")
    if check.contains is not None:
        wanted = check.contains.replace("{version}", release.version).replace("{release}", release.id)
        if wanted not in body.decode("utf-8", "replace"):
            start = clean(body[:80].decode("utf-8", "replace")).replace("\n", " ")
            return False, f"{where} does not say {wanted!r}: {start!r}"
    return True, f"http {status} from {where}"


async def _by_tool(
    connection: "SshConnection", check: HttpCheck | TcpCheck, release: Release, where: str, timeout: float
) -> tuple[bool, str]:
    values = {
        "path": release.path,
        "check": "tcp" if isinstance(check, TcpCheck) else "http",
        "to": f"[{check.host}]" if isinstance(check, HttpCheck) and ":" in check.host else check.host,
        "port": str(check.port),
        "uri": check.path if isinstance(check, HttpCheck) else "",
        "seconds": str(max(1, round(timeout))),
    }
    try:
        answer = await connection.run(f"check {where}", "health", values, deadline=timeout + 5.0)
    except CommandTimedOut:
        return False, f"no answer from {where} within {timeout:g} s"
    except CommandFailed as error:
        return False, error.problem
    error_line = answer.one("error")
    if error_line is not None:
        kind, _, text = error_line.partition(" ")
        return False, f"{where} can't be checked: {text}" + (" is missing on the host" if kind == "missing" else "")
    if answer.has("connected"):
        return True, f"{where} accepts connections"
    status = answer.one("http")
    if status is None or not status.isdigit() or isinstance(check, TcpCheck):
        return False, f"no answer from {where}"
    return _judge(check, release, where, int(status), answer.output.encode())


async def _command(
    connection: "SshConnection", check: CommandCheck, release: Release, timeout: float
) -> tuple[bool, str]:
    words = f"the command {check.run!r}"
    values = {
        "path": release.path.rstrip("/"),
        "release": release.id,
        "op": "check",
        "command": check.run,
        "seconds": str(max(1, round(timeout))),
    }
    try:
        answer = await connection.run(f"check {words}", "check", values, deadline=timeout + 7.0)
    except CommandTimedOut:
        return False, f"{words} did not end within {timeout:g} s"
    except Unreachable:
        raise
    except CommandFailed as error:
        return False, error.problem
    status = answer.one("exit")
    if status == "0":
        return True, f"{words} ended with 0"
    if status is None:
        return False, f"{words} could not be run: {answer.one('error') or answer.errors or 'no answer'}"
    if status in ("124", "137"):
        return False, f"{words} did not end within {timeout:g} s"
    said = answer.one("text")
    return False, f"{words} ended with {status}" + (f": {said}" if said else "")
