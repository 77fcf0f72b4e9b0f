"""What defends a host against those who come late or together: the epoch, the lock, and names that lead elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from quarterdeck.backends.errors import (
    ArtifactRefused,
    BackendError,
    Fenced,
    HostLockBusy,
)
from quarterdeck.config.model import (
    ConfigFile,
    Hook,
    Runner,
)
from tests.backends.ssh.releases import QUICK, http_release
from tests.contract.place import NO_SECRETS, Place, become_healthy
from tests.sshd import free_port, wait_for


async def test_an_older_epoch_is_refused_everywhere_and_changes_nothing(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    await place.connection.switch(second, NO_SECRETS, place.fence(7, "rollout 7, bob@bastion"), "7.1")
    third, archive = place.release("v3")
    old, connection = place.fence(6), place.connection
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: connection.stage(third, archive, NO_SECRETS, old),
        lambda: connection.switch(first, NO_SECRETS, old, "6.1"),
        lambda: connection.withdraw(second, old, "6.2"),
        lambda: connection.hook(Hook("true"), "touch ../../hooked", second, old, "6.3"),
        lambda: connection.finish(first, [], old, "6.4", prune_to=0),
    ]
    for attempt in attempts:
        with pytest.raises(Fenced) as caught:
            await attempt()
        assert (caught.value.epoch, caught.value.seen) == (6, 7)
        assert "bob@bastion" in str(caught.value)
    facts = await connection.facts("test/web", str(place.path))
    assert (facts.current, facts.epoch, facts.holder, facts.anchor) == (
        second.id,
        7,
        "rollout 7, bob@bastion",
        "7:abcdef",
    )
    assert {kept.release for kept in facts.kept} == {first.id, second.id}
    assert not (place.path / "hooked").exists()


async def test_a_held_lock_names_its_holder_and_is_got_when_it_is_free(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await place.staged("v1")
    second = await place.backend.connect(place.host.as_host())
    command = 'touch "$QD_SHARED/begun"; while [ ! -f "$QD_SHARED/go" ]; do sleep 0.05; done'
    holding = asyncio.create_task(
        place.connection.hook(Hook(""), command, first, place.fence(1, "rollout 1, alice@bastion"), "1.1")
    )
    try:
        begun = place.path / "shared" / "begun"
        await asyncio.to_thread(wait_for, begun.exists, "the hook has begun")
        with monkeypatch.context() as patched:
            patched.setattr("quarterdeck.backends.hosts.ssh.connection._LONGEST_WAIT", 1.0)
            with pytest.raises(HostLockBusy, match="alice@bastion"):
                await second.switch(first, NO_SECRETS, place.fence(), "1.2")
        waiting = asyncio.create_task(second.switch(first, NO_SECRETS, place.fence(), "1.3"))
        (place.path / "shared" / "go").touch()
        assert (await waiting).current == first.id
        assert (await holding).exit_status == 0
    finally:
        (place.path / "shared" / "go").touch()
        await second.close()


async def test_a_service_runs_on_when_its_connection_ends_and_holds_no_lock(place: Place) -> None:
    port = free_port(place.host.address)
    release, archive = http_release(place.files, "v1", place.path, place.host.address, port)
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    other = await place.backend.connect(place.host.as_host())
    await other.switch(release, NO_SECRETS, place.fence(), "1.1")
    await other.close()
    await become_healthy(place.connection, release)
    outcome = await place.connection.hook(Hook(""), "true", release, place.fence(), "1.2")  # needs the lock
    assert outcome.exit_status == 0
    await place.connection.withdraw(release, place.fence(), "1.3")


async def test_names_that_could_lead_elsewhere_are_refused(place: Place) -> None:
    release, archive = place.release("v1")
    for bad in ("../evil", "a/b", "", "a b", "-x", "a\nb", ".hidden"):
        with pytest.raises(BackendError, match="name of a release"):
            await place.connection.stage(
                msgspec.structs.replace(release, version=bad or "/"), archive, NO_SECRETS, place.fence()
            )
    for bad in ("relative", "/srv/../etc", "/", "/a\nb"):
        with pytest.raises(BackendError, match="absolute path"):
            await place.connection.facts("test/web", bad)
    with pytest.raises(ArtifactRefused):
        await place.connection.stage(
            msgspec.structs.replace(release, files=(ConfigFile("../../x", ""),), runner=Runner(commands=QUICK)),
            archive,
            NO_SECRETS,
            place.fence(),
        )
