"""A hook that a worker has begun, and lost: the next one waits for its end, and begins none beside it."""

from typing import Any

import pytest

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.docker.names import HOOK, ROLE
from quarterdeck.backends.hosts.swarm import hooks
from quarterdeck.config.model import Hook
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field
from tests.swarm_in_motion import tasks_of, until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


def of_hooks(field: Field) -> list[dict[str, Any]]:
    """Its tasks."""
    found = tasks_of(field.swarm, field.target)
    return [one for one in found if one["Spec"]["ContainerSpec"]["Labels"].get(ROLE) == HOOK]


async def lose(field: Field, monkeypatch: pytest.MonkeyPatch, command: str) -> dict[str, Any]:
    """The task of a hook whose worker has lost all managers."""

    async def ended(*_: Any) -> None:
        raise Unreachable("three", "run a hook", "no manager answers")

    with monkeypatch.context() as patched:
        patched.setattr(hooks, "_ended", ended)
        with pytest.raises(Unreachable):
            await field.connection.hook(Hook("", timeout=90), command, field.release("v1"), field.fence(1), "1.3")
    await until(lambda: any(one["Status"]["State"] == "running" for one in of_hooks(field)), "the hook runs")
    (task,) = of_hooks(field)
    return task


async def test_the_next_worker_waits_for_the_end_of_a_hook_that_runs(
    swarm_field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = swarm_field
    release = field.release("v1")
    await field.connection.stage(release, None, NO_SECRETS, field.fence(1))
    command = "until test -e /tmp/told; do sleep 0.1; done; cat /etc/hostname; exit 4"
    task = await lose(field, monkeypatch, command)
    container = task["Status"]["ContainerStatus"]["ContainerID"]
    field.swarm.inside(task, "touch", "/tmp/told")
    outcome = await field.connection.hook(Hook("", timeout=90), command, release, field.fence(2), "1.3")
    assert (outcome.exit_status, outcome.output.strip(), outcome.replayed) == (4, container[:12], False)
    assert of_hooks(field) == []


async def test_a_hook_that_was_taken_away_is_begun_anew(swarm_field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    field = swarm_field
    release = field.release("v1")
    await field.connection.stage(release, None, NO_SECRETS, field.fence(1))
    task = await lose(field, monkeypatch, "sleep 80")
    index = field.swarm.node_of(task)
    field.swarm.set_node(index, availability="drain")
    await until(lambda: of_hooks(field)[0]["Status"]["State"] == "shutdown", "it is taken away")
    field.swarm.set_node(index, availability="active")
    outcome = await field.connection.hook(Hook("", timeout=90), "echo again", release, field.fence(2), "1.3")
    assert (outcome.exit_status, outcome.output.strip()) == (0, "again")
    assert of_hooks(field) == []
