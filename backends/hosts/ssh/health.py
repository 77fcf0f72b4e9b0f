"""One round of health checks, made as the host sees its service: over the SSH connection, without a tool on the host where possible."""

import asyncio
import time
from typing import TYPE_CHECKING

import asyncssh

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.checking import LOCALHOST, Streams, ask_over, judge, place
from quarterdeck.backends.hosts.contract import HealthOutcome
from quarterdeck.backends.hosts.ssh.channel import lost
from quarterdeck.backends.hosts.ssh.script import of_slots
from quarterdeck.backends.hosts.ssh.slots import in_slot
from quarterdeck.backends.numbers import number_in
from quarterdeck.config.model import CommandCheck, Health, HttpCheck, TcpCheck
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.ssh.connection import SshConnection


class _ForwardingRefused(Exception):
    """The server opens no connections for us."""


async def check_once(connection: "SshConnection", health: Health, release: Release) -> HealthOutcome:
    """All checks that are set, in order, until one fails. Where the service has slots, the release's own instance is asked."""
    started = time.monotonic()
    slots = release.runner.slots
    if slots is not None and (health.http is not None or health.tcp is not None):
        try:
            slot = await connection.slot_of(release)
        except Unreachable:
            raise
        except BackendError as error:
            return HealthOutcome(False, error.problem, time.monotonic() - started)
        if slot is None:
            return HealthOutcome(False, f"{release.id} runs in no slot", time.monotonic() - started)
        health = in_slot(health, slots, slot)
    outcome = await _checked(connection, health, release, started)
    if slots is not None and not outcome.healthy:
        connection.doubt_slot(release)
    return outcome


async def _checked(connection: "SshConnection", health: Health, release: Release, started: float) -> HealthOutcome:
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
    address = connection.address if from_here and check.host == LOCALHOST else check.host
    where = place(address, check) if from_here or check.host != LOCALHOST else place("", check)

    async def opening() -> Streams:
        if from_here:
            return await asyncio.open_connection(address, check.port)
        if connection.forwarding:
            return await _through(connection, address, check.port, where)
        raise _ForwardingRefused

    try:
        async with asyncio.timeout(health.timeout):
            return await ask_over(opening, check, release, address, where)
    except TimeoutError:
        return False, f"no answer from {where} within {health.timeout:g} s"
    except _ForwardingRefused:
        return await _by_tool(connection, check, release, where, health.timeout)


async def _through(connection: "SshConnection", address: str, port: int, where: str) -> Streams:
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
    status = number_in(answer.one("http"))
    if status is None or isinstance(check, TcpCheck):
        return False, f"no answer from {where}"
    return judge(check, release, where, status, answer.output.encode())


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
        answer = await connection.run(f"check {words}", of_slots("check", release), values, deadline=timeout + 7.0)
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
