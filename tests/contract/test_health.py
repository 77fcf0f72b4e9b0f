"""Health checks say what they saw, in time."""

import asyncio
from typing import Any

import msgspec
import pytest

from quarterdeck.config.model import (
    CommandCheck,
    Health,
    HttpCheck,
    TcpCheck,
)
from tests.backends.ssh.releases import http_release
from tests.contract.place import NO_SECRETS, Place, become_healthy
from tests.sshd import free_port


@pytest.mark.parametrize("made_from", ["host", "bastion"])
async def test_health_checks_say_what_they_saw(place: Place, made_from: str) -> None:
    port, address = free_port(place.host.address), place.host.address
    release, archive = http_release(place.files, "v1", place.path, address, port)
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    check = HttpCheck(port, "/", host=address)
    where = f"{address}:{port}"

    async def health(**set_checks: Any) -> tuple[bool, str]:
        asked = Health(made_from=made_from, timeout=30, **set_checks)
        outcome = await place.connection.check_health(asked, release)
        return outcome.healthy, outcome.detail

    assert await health(http=check) == (False, f"refused by {where}/")
    assert await health(tcp=TcpCheck(port, address)) == (False, f"refused by {where}")
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    await become_healthy(place.connection, release)
    before = place.connection.executions
    assert await health(http=check) == (True, f"http 200 from {where}/")
    assert await health(http=msgspec.structs.replace(check, path="/broken")) == (False, f"http 500 from {where}/broken")
    assert await health(http=msgspec.structs.replace(check, status=204)) == (False, f"http 200 from {where}/, not 204")
    assert await health(http=msgspec.structs.replace(check, contains="{version} hello")) == (
        True,
        f"http 200 from {where}/",
    )
    assert await health(http=msgspec.structs.replace(check, contains="{release}")) == (True, f"http 200 from {where}/")
    healthy, detail = await health(http=msgspec.structs.replace(check, contains="v2"))
    assert not healthy
    assert "does not say 'v2': 'v1 hello" in detail
    assert await health(tcp=TcpCheck(port, address)) == (True, f"{where} accepts connections")
    assert place.connection.executions == before, "nothing was executed for them"
    assert await health(command=CommandCheck('test "$QD_VERSION" = v1')) == (
        True,
        "the command 'test \"$QD_VERSION\" = v1' ended with 0",
    )
    assert place.connection.executions == before + 1, "a command is an execution of its own, as docs/hosts.md says"
    assert await health(command=CommandCheck("echo no; exit 4")) == (
        False,
        "the command 'echo no; exit 4' ended with 4: no",
    )
    healthy, detail = await health(http=check, command=CommandCheck("false"))
    assert not healthy
    await place.connection.withdraw(release, place.fence(), "1.2")


@pytest.mark.parametrize("made_from", ["host", "bastion"])
async def test_a_service_that_never_answers_is_unhealthy_in_time(place: Place, made_from: str) -> None:
    release, _ = place.release("v1")
    silent = await asyncio.start_server(lambda _reader, _writer: None, place.host.address, 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        health = Health(http=HttpCheck(port, host=place.host.address), timeout=0.3, made_from=made_from)
        outcome = await place.connection.check_health(health, release)
    assert not outcome.healthy
    assert outcome.detail == f"no answer from {place.host.address}:{port}/ within 0.3 s"
