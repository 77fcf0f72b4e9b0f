"""A registry hangs, is down, or refuses: nothing waits longer than it must, what is not known is said, what the nodes have goes out."""

import time
from collections.abc import Callable
from typing import Any

import docker
import pytest

from quarterdeck.backends.errors import CommandFailed, NotPermitted
from quarterdeck.backends.hosts.swarm import calls, fetchable
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm import Swarm
from tests.swarm_field import Field, connect

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
SILENT = pytest.mark.parametrize("silence", [Swarm.freeze_registry, Swarm.stop_registry], ids=["hangs", "down"])


async def put(field: Field, release: Release, epoch: int) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


def forget(swarm: Swarm, *releases: Release, nodes: tuple[int, ...] = (0, 1, 2)) -> None:
    """These nodes have their images no more."""
    for index in nodes:
        engine = swarm.api(index)
        for release in releases:
            if release.artifact.location in {digest for one in engine.images() for digest in one["RepoDigests"] or ()}:
                engine.remove_image(release.artifact.location, force=True)


@SILENT
async def test_facts_say_what_is_not_known_and_the_way_back_goes(
    swarm_field: Field, silence: Callable[[Swarm], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many releases are remembered, one question is waited for: seen to fail where each asks by itself. The nodes that have the
    image need no registry."""
    field, swarm = swarm_field, swarm_field.swarm
    made = [field.release(f"v{number}") for number in range(1, 6)]
    for epoch, release in enumerate(made, 1):
        await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
        await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.1", prune_to=5)
    await field.connection.switch(made[4], NO_SECRETS, field.fence(6), "6.1")
    forget(swarm, *made[:3])
    silence(swarm)
    asked = counted(monkeypatch)
    fresh = await connect(swarm)  # knows nothing of the registry yet
    try:
        began = time.monotonic()
        facts = await fresh.facts(field.target, "", deadline=20.0)
        assert time.monotonic() - began < 40, "on a busy machine, too"
        assert 0 < sum(one.startswith("/distribution/") for one in asked) <= 3, "of the first ones, at the same time"
        assert facts.current == made[4].id
        assert not any("registry" in one for one in facts.drift), "nothing of the target is other than it should be"
        intact = {one.release for one in facts.kept if one.intact}
        assert made[3].id in intact, "the manager has its image"
        assert made[0].id not in intact, "nobody knows of its image"
        assert facts.as_started, "that is nothing that a rollout would put right"
        outcome = await fresh.switch(made[3], NO_SECRETS, field.fence(9), "9.1")
        assert (outcome.current, field.versions) == (made[3].id, ["v4"])
    finally:
        await fresh.close()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what managers are asked from now on."""
    asked: list[str] = []
    real = calls.get

    def get(client: docker.APIClient, path: str, *more: Any, **filters: Any) -> Any:
        asked.append(path)
        return real(client, path, *more, **filters)

    monkeypatch.setattr(calls, "get", get)
    return asked


@SILENT
async def test_what_the_nodes_have_goes_out_and_what_one_lacks_is_refused(
    swarm_field: Field, silence: Callable[[Swarm], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told from a manager that hangs: the one that is asked is kept, and the answer is waited for once."""
    monkeypatch.setattr(fetchable, "_STAGING", 3.0)
    field, swarm = swarm_field, swarm_field.swarm
    await put(field, field.release("v1"), 1)
    second, third = field.release("v2"), field.release("v3")
    for index in range(3):
        for release in (second, third):
            swarm.api(index).pull(release.artifact.location)
    far = next(node for node in swarm.nodes if node.docker != field.connection._managers.address)
    forget(swarm, third, nodes=(far.index,))
    silence(swarm)
    asked = field.connection._managers.address
    await put(field, second, 2)
    assert (field.versions, field.connection._managers.address) == (["v2"], asked)
    with pytest.raises(CommandFailed) as refused:
        await field.connection.stage(third, None, NO_SECRETS, field.fence(3))
    assert f"its registry {swarm.registry} does not answer" in refused.value.problem
    assert refused.value.problem.endswith(f"is not on {far.hostname}")
    assert "try again" in refused.value.advice
    facts = await field.facts()
    assert (facts.current, facts.epoch) == (second.id, 2), "nothing was claimed"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_registry_that_refuses_us_is_told_as_that(swarm_field: Field, status: int) -> None:
    field = swarm_field
    release = field.release("v1")
    field.swarm.refuse_at_registry(status)
    with pytest.raises(NotPermitted, match="lets nobody have") as refused:
        await field.connection.stage(release, None, NO_SECRETS, field.fence())
    assert f"docker login {field.swarm.registry}" in refused.value.advice
    assert field.swarm.any_api.services() == []
