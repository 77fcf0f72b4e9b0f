"""A command for all of a target's places: of a swarm one for each task that runs, by what its managers tell."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.contract import SwarmTask, TargetFacts
from quarterdeck.backends.secrets import Masker
from quarterdeck.config.model import Artifact, Host, Runner, Target
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.executing import Place, Words, run_on, spread

SWARM = Host("swarm", swarm=("ssh://n1", "ssh://n2"))
OTHER = Host("other", swarm=("ssh://n9",))
WEB = Host("web-1", ssh="web-1")
TARGET = Target("staging", "api", (WEB, SWARM, OTHER), "", Artifact(image="registry.acme.io/api"), Runner())
NOW, BEFORE = "2-aaaaaaaaaa", "1-bbbbbbbbbb"


def task(slot: int, node: str, release: str = NOW, state: str = "running", *, wanted: bool = True) -> SwarmTask:
    return SwarmTask(f"{slot}{node}{release}", slot, node, release, state, wanted=wanted)


@dataclass
class Managers:
    """In the place of hosts: tells ``tasks``, or fails where ``fails`` says. ``asked``: names of hosts that were connected to."""

    tasks: tuple[SwarmTask, ...] = ()
    fails: str = ""
    current: str | None = NOW
    asked: list[str] = field(default_factory=list)
    closed: int = 0

    async def connect(self, host: Host, *, deadline: float) -> "Managers":
        assert deadline > 0
        self.asked.append(host.name)
        if self.fails == "connect":
            raise Unreachable(host.name, "connect", "no route")
        return self

    async def facts(self, target: str, path: str, *, deadline: float) -> TargetFacts:
        assert (target, path) == (TARGET.name, TARGET.path)
        assert deadline > 0
        if self.fails == "facts":
            raise BackendError("swarm", "read what runs", "no leader")
        return TargetFacts(self.current, True, (), 1, "", "", (), None, tasks=self.tasks)

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state", operator=current_operator()) as journal:
        yield journal


async def names(managers: Managers, *places: Place) -> list[str]:
    backend: Any = managers
    return [place.name for place in await spread(backend, TARGET, places)]


async def test_each_task_that_runs_of_what_is_current_is_one_in_the_order_of_slots() -> None:
    """Also where two are in a slot for a moment, and where some of another release run beside them."""
    managers = Managers(
        (
            task(10, "n1"),
            task(2, "n2"),
            task(2, "n3"),
            task(1, "n1", BEFORE),
            task(3, "n1", state="starting"),
            task(4, "n1", wanted=False),
            task(5, ""),
        )
    )
    assert await names(managers, Place(WEB), Place(SWARM)) == ["web-1", "swarm:2", "swarm:10"]
    assert managers.asked == ["swarm"], "a host that is no swarm has no tasks"
    assert managers.closed == 1


async def test_of_a_global_service_each_node_is_one() -> None:
    managers = Managers((task(0, "n2"), task(0, "n1")))
    assert await names(managers, Place(SWARM)) == ["swarm@n1", "swarm@n2"]


async def test_where_nothing_of_what_is_current_runs_it_is_whatever_runs() -> None:
    assert await names(Managers((task(1, "n1", BEFORE), task(2, "n1", BEFORE))), Place(SWARM)) == ["swarm:1", "swarm:2"]
    assert await names(Managers((task(1, "n1", BEFORE),), current=None), Place(SWARM)) == ["swarm:1"]


async def test_a_task_that_is_named_is_one_and_is_meant_once() -> None:
    managers = Managers((task(1, "n1"), task(2, "n2")))
    assert await names(managers, Place(SWARM, "2")) == ["swarm:2"]
    assert managers.asked == []
    assert await names(managers, Place(SWARM, "2"), Place(SWARM), Place(OTHER)) == [
        "swarm:2",
        "swarm:1",
        "other:1",
        "other:2",
    ]


async def test_a_swarm_without_a_task_stays_one_place() -> None:
    assert await spread_of(Managers(), Place(SWARM)) == [Place(SWARM)]


async def spread_of(managers: Managers, place: Place) -> list[Place]:
    backend: Any = managers
    return await spread(backend, TARGET, [place])


@pytest.mark.parametrize("fails", ["connect", "facts"])
async def test_where_its_tasks_can_not_be_asked_for_nothing_is_run(fails: str, journal: Journal) -> None:
    """In one of them it would run, and end well. Its error is told as that of any other host, and the others go on."""
    managers = Managers((task(1, "n1"),), fails)
    (place,) = await spread_of(managers, Place(SWARM))
    assert (place.name, place.task) == ("swarm", "")
    managers.fails = ""
    backend: Any = managers
    words = Words("true", Masker({}))
    with pytest.raises(BackendError, match="no route" if fails == "connect" else "no leader"):
        async for _ in run_on(backend, journal, TARGET, place, ["true"], words, deadline=1.0):
            pass
    assert managers.asked == ["swarm"]
    assert [one for one in journal.events(limit=10) if one.kind.startswith("exec")] == []


def test_an_error_names_the_task() -> None:
    error = Unreachable("swarm", "run a command", "its node n1 is down")
    assert Place(SWARM, "2").named_in(str(error)) == "swarm:2: run a command: its node n1 is down"
    assert Place(SWARM, "@n1").named_in(str(error)) == "swarm@n1: run a command: its node n1 is down"
    assert Place(SWARM, "2").named_in("interrupted") == "interrupted"
