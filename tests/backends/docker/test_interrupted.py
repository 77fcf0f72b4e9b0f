"""An action that is interrupted while the engine does what it was told: the next one waits for that before it looks what is there."""

import asyncio
import threading
from typing import Any

import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.docker import making
from tests.backends.docker.conftest import until
from tests.boxes import NO_SECRETS, Box
from tests.contract.place import become_healthy
from tests.sshd import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.root]


@pytest.mark.parametrize("call", ["start", "stop"])
async def test_what_was_begun_is_waited_for_before_it_is_taken_back(
    box: Box, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The engine is frozen with the call, so that nobody can know whether it is done; both go on together when it goes on."""
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    if call == "stop":
        assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    client = box.connection.engine._open_client()
    asked = threading.Event()
    real = getattr(client, call)

    def with_a_frozen_engine(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(client, call, real)
        box.engine.freeze()
        asked.set()
        return real(*arguments, **more)

    monkeypatch.setattr(client, call, with_a_frozen_engine)
    going: asyncio.Task[Any]
    if call == "start":
        going = asyncio.create_task(box.connection.switch(second, NO_SECRETS, box.fence(), "1.2"))
    else:
        going = asyncio.create_task(box.connection.retire(second, box.fence(), "1.3"))
    try:
        await until(asked.is_set, "the engine is told")
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        back = asyncio.create_task(box.connection.switch(first, NO_SECRETS, box.fence(), "2.1"))
        await asyncio.sleep(0)
    finally:
        box.engine.thaw()
    outcome = await back
    assert outcome.current == first.id or outcome.beside
    if outcome.beside:
        await box.connection.retire(first, box.fence(), "2.1r")
    assert box.running == [first.id]


async def test_what_an_overtaken_worker_had_begun_does_not_stay_beside_what_is_put_back(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed while the engine started its container, which comes up after the next worker has looked."""
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    old, new = await box.another(), await box.another()
    asked, comes_late = threading.Event(), threading.Event()
    start, of_the_new = old.engine._open_client().start, new.engine._open_client().start

    def start_late(*arguments: Any, **more: Any) -> Any:
        asked.set()
        comes_late.wait(30)
        return start(*arguments, **more)

    def start_and_see_the_other(*arguments: Any, **more: Any) -> Any:
        made = of_the_new(*arguments, **more)
        comes_late.set()
        wait_for(lambda: second.id in box.running, "what the old worker had begun is there", 30)
        return made

    monkeypatch.setattr(old.engine._open_client(), "start", start_late)
    monkeypatch.setattr(new.engine._open_client(), "start", start_and_see_the_other)
    late = asyncio.create_task(old.switch(second, NO_SECRETS, box.fence(), "1.2"))
    try:
        await until(asked.is_set, "the engine is told by the old worker")
        outcome = await new.switch(first, NO_SECRETS, box.fence(2), "2.1")
        assert outcome.current == first.id
        assert box.running == [first.id]
        with pytest.raises(BackendError):
            await late
    finally:
        comes_late.set()
        await old.close()
        await new.close()


@pytest.mark.parametrize("restart", ["no", "always"])
async def test_what_was_told_to_stop_is_started_anew_and_not_taken_for_what_runs(box: Box, restart: str) -> None:
    """Its worker was killed while the old one ended what it had begun; who goes back then finds it running, and well."""
    draining = "trap 'trap : TERM; echo told; sleep 15; exit 0' TERM; httpd -f -p 8080 -h /www & wait; wait"
    spec = box.spec(command=("sh", "-c", draining), restart=restart, stop_grace_period=30.0)
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    killed = await box.another()
    (old,) = [one["Id"] for one in box.containers(running=True).values() if one["Names"] == [f"/{box.name}"]]
    begun = box.inspect(old)["State"]["StartedAt"]
    retiring = asyncio.create_task(killed.retire(second, box.fence(), "1.3"))
    try:
        await until(lambda: b"told" in box.engine.client.logs(old), "the old one is told to stop")
        retiring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await retiring
        assert box.running == [first.id, second.id]  # it ends later
        outcome = await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")
        assert outcome.beside
        await become_healthy(box.connection, first)
        outcome = await box.connection.retire(first, box.fence(2), "2.2")
    finally:
        await killed.close()
    assert outcome.current == first.id
    assert box.running == [first.id]
    assert box.inspect(old)["State"]["StartedAt"] != begun


async def test_what_was_not_told_to_stop_yet_is_not_started_anew(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker was killed when the new one had the name, and before the old one lost its restart policy."""
    spec = box.spec(restart="always")
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    begun = box.inspect(box.name)
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside

    async def dies(*_: Any) -> None:
        raise BackendError("box-1", "stop", "this worker is dead")

    with monkeypatch.context() as patched:
        patched.setattr(making, "stop", dies)
        with pytest.raises(BackendError):
            await box.connection.retire(second, box.fence(), "1.3")
    assert box.inspect(box.name)["Id"] != begun["Id"], "the new one has the name"
    assert (await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")).beside
    assert box.inspect(begun["Id"])["State"]["StartedAt"] == begun["State"]["StartedAt"]


async def test_what_was_begun_for_the_same_release_is_gone_on_with(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    (begun,) = [one["Id"] for name, one in box.containers(running=True).items() if name != box.name]
    at = box.inspect(begun)["State"]["StartedAt"]
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(2), "2.1")).beside
    assert box.inspect(begun)["State"]["StartedAt"] == at
