"""How registries are asked whether they still have an image: rarely, never often, and so that nothing else waits for one that hangs."""

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quarterdeck.backends.errors import CommandTimedOut, EngineRefused, SecretUnavailable, Unreachable
from quarterdeck.backends.hosts.docker.auth import no_auth
from quarterdeck.backends.hosts.docker.staging import registry_of
from quarterdeck.backends.hosts.swarm import registries
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.registries import (
    A_MINUTE,
    AT_MOST,
    KNOWN_FOR,
    MISSING_FOR,
    NOT_ASKED,
    SILENT_FOR,
    Registries,
)
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, ResolvedArtifact

BOUND = 30.0
DIGEST = "a" * 64


def release(number: int, registry: str = "registry.acme.io") -> Release:
    location = f"{registry}/shop/app-{number}@sha256:{DIGEST}"
    return Release("production/shop", f"v{number}", ResolvedArtifact(location, DIGEST), "", Runner())


class Asked:
    """A manager that asks registries: which images it was asked for, and what it says. ``hang``: registries that never answer; ``gone``:
    images that they have not; ``lost``: nobody answers at all."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gone: set[str] = set()
        self.here: set[str] = set()
        self.hang: set[str] = set()
        self.lost = False
        self.at_once = self.most = 0
        self.now = 1000.0

    async def call(self, action: str, question: Callable[[Any], object], *, deadline: float) -> None:
        paths: list[str] = []

        def get(url: str, **_: Any) -> Any:
            paths.append(url.partition("/v1.41")[2])
            return SimpleNamespace(raise_for_status=lambda: None, content=b"", json=dict)

        question(SimpleNamespace(base_url="", api_version="1.41", get=get))
        kind, _, rest = paths[0].lstrip("/").partition("/")
        location = rest.removesuffix("/json")
        if self.lost:
            raise Unreachable("swarm", action, "it does not answer")
        if kind == "images":
            if location not in self.here:
                raise EngineRefused("swarm", action, "No such image", status=404)
            return
        self.asked.append(location)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(0.01)
            if registry_of(location) in self.hang:
                await asyncio.sleep(0.2)
                raise CommandTimedOut("swarm", action, f"no answer within {deadline:g} s", exit_status=None)
            if location in self.gone:
                raise EngineRefused("swarm", action, "manifest unknown", status=404)
        finally:
            self.at_once -= 1

    def registries(self, auth: Callable[[str], Any] = no_auth) -> Registries:
        return Registries(cast("Managers", SimpleNamespace(engine=self)), auth, lambda: self.now)


async def has(found: Registries, *releases: Release, patient: bool = True) -> list[bool | None]:
    answers = await found.have(releases, "look", within=BOUND, patient=patient)
    return [answers[one.artifact.location].has for one in releases]


async def test_who_asks_by_hand_asks_now_and_is_told_when_that_was() -> None:
    """Each command has a connection of its own, which knows nothing of before."""
    asked = Asked()
    for _ in range(2):
        found = asked.registries()
        answers = await found.have([release(1)], "look", within=BOUND, patient=True)
        assert answers[release(1).artifact.location].time.endswith("Z")
    assert len(asked.asked) == 2


async def test_an_answer_is_kept_for_some_minutes_and_that_there_is_none_for_less() -> None:
    asked = Asked()
    found = asked.registries()
    there, gone = release(1), release(2)
    asked.gone.add(gone.artifact.location)
    assert await has(found, there, gone) == [True, False]
    asked.now += MISSING_FOR - 1
    assert await has(found, there, gone) == [True, False]
    assert len(asked.asked) == 2
    asked.now += 2
    assert await has(found, there, gone) == [True, False]
    assert asked.asked[2:] == [gone.artifact.location]
    asked.now += KNOWN_FOR
    asked.gone.add(there.artifact.location)
    assert await has(found, there) == [False]


async def test_whoever_looks_again_and_again_waits_for_no_second_answer() -> None:
    """What is known is told at once, with its age, and is asked for beside that."""
    asked = Asked()
    found = asked.registries()
    one = release(1)
    first = (await found.have([one], "look", within=BOUND, patient=False))[one.artifact.location]
    assert first.has is True
    asked.now += KNOWN_FOR + 1
    asked.gone.add(one.artifact.location)
    assert (await found.have([one], "look", within=BOUND, patient=False))[one.artifact.location] == first
    assert await has(found, one) == [False], "that is waited for where somebody is patient"
    assert len(asked.asked) == 2


async def test_a_registry_is_asked_so_often_and_no_more() -> None:
    """A Swarm of many targets: the first look asks for all that it may, and then a few a minute. Seen to fail without the bound."""
    asked = Asked()
    found = asked.registries()
    many = [release(number) for number in range(AT_MOST + 50)]
    other = release(0, "registry.example.org")
    answers = await found.have([*many, other], "look", within=BOUND, patient=True)
    assert len(asked.asked) == AT_MOST + 1, "and the other registry has its own"
    assert [one for one in many if answers[one.artifact.location] is NOT_ASKED] == many[AT_MOST:], "the last ones"
    asked.now += 60.0
    await has(found, *many)
    assert len(asked.asked) == AT_MOST + 1 + A_MINUTE
    for _ in range(100):
        asked.now += 1.0
        await has(found, *many, patient=False)
    assert len(asked.asked) <= AT_MOST + 1 + A_MINUTE + 100 * A_MINUTE / 60 + 1


async def test_few_are_asked_for_at_once() -> None:
    """The manager has eight threads, and all else is asked in them, too. Seen to fail with a limit of each look."""
    asked = Asked()
    found = asked.registries()
    looks = [has(found, *(release(5 * look + number) for number in range(5))) for look in range(10)]
    assert await asyncio.gather(*looks) == [[True] * 5] * 10
    assert asked.most == 3


async def test_a_registry_that_hangs_holds_up_nobody_for_long_and_is_left_alone_for_a_while() -> None:
    """Seen to fail (each of them is waited for) without the time in which a silent one is not asked."""
    asked = Asked()
    asked.hang.add("registry.acme.io")
    found = asked.registries()
    many = [release(number) for number in range(30)]
    other = release(0, "registry.example.org")
    asked.here.add(many[7].artifact.location)
    assert await has(found, *many, other) == [None] * 7 + [True] + [None] * 22 + [True]
    assert len([one for one in asked.asked if one.startswith("registry.acme.io")]) <= 3
    before = len(asked.asked)
    asked.now += SILENT_FOR - 1
    await has(found, *many)
    assert len(asked.asked) == before
    asked.hang.clear()
    asked.now += 2
    assert await has(found, *many) == [True] * 30


async def test_a_look_does_not_wait_longer_than_it_may() -> None:
    asked = Asked()
    asked.hang.add("registry.acme.io")
    found = asked.registries()
    answers = await found.have([release(1)], "look", within=0.02, patient=True)
    assert answers[release(1).artifact.location] is NOT_ASKED
    await found.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ask for")]


async def test_a_lost_manager_says_nothing_of_a_registry() -> None:
    asked = Asked()
    found = asked.registries()
    assert await has(found, release(1)) == [True]
    asked.now += KNOWN_FOR + 1
    asked.lost = True
    assert await has(found, release(1), release(2)) == [True, None]
    asked.lost = False
    assert await has(found, release(2)) == [True]


async def test_a_login_that_can_not_be_had_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: str) -> Mapping[str, str] | None:
        raise SecretUnavailable("here", "log in", "the helper ended with 1")

    async def never(_: str) -> Mapping[str, str] | None:
        await asyncio.sleep(3600)
        return None

    asked = Asked()
    assert await has(asked.registries(refused), release(1)) == [None]
    monkeypatch.setattr(registries, "_LOGIN", 0.05)
    assert await has(asked.registries(never), release(1)) == [None]
    assert asked.asked == []


@pytest.mark.parametrize(
    ("location", "registry"),
    [
        ("registry.acme.io/shop/app@sha256:0", "registry.acme.io"),
        ("10.0.0.1:5000/app@sha256:0", "10.0.0.1:5000"),
        ("localhost/app@sha256:0", "localhost"),
        ("nginx@sha256:0", "docker.io"),
        ("acme/app@sha256:0", "docker.io"),
    ],
)
def test_whose_an_image_is(location: str, registry: str) -> None:
    assert registry_of(location) == registry
