"""What is made of a host's word that it tells of changes from now on: nothing may happen unseen between the first look and that word."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from quarterdeck.backends.hosts.contract import Watched
from quarterdeck.rollouts.observer import changes
from quarterdeck.rollouts.observer.changes import Changes

TARGET = "staging/web"
BOUND = 30.0


class Teller:
    """A host that tells, once ``begins`` is set, and then of one change."""

    host = "box-1"

    def __init__(self) -> None:
        self.begins = asyncio.Event()

    async def changes(self) -> AsyncGenerator[frozenset[str] | None, None]:
        await self.begins.wait()
        yield None
        yield frozenset({TARGET})
        await asyncio.Event().wait()


class Heard:
    """What is looked at."""

    def __init__(self, teller: Teller) -> None:
        self.one, self.all = asyncio.Event(), asyncio.Event()
        self.changes = Changes(cast(Watched, teller), self._look, self.all.set)

    async def _look(self, target: str) -> None:
        assert target == TARGET
        self.one.set()


async def test_who_begins_to_tell_late_is_looked_at_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look did not wait for it any longer: what happened since that look nobody has told. Seen to fail (it waited for the next
    regular look) where only a host that tells again after it was cut is looked at."""
    monkeypatch.setattr(changes, "BEGIN", 0.01)
    teller = Teller()
    heard = Heard(teller)
    await heard.changes.begun()
    assert not heard.all.is_set()
    teller.begins.set()
    async with asyncio.timeout(BOUND):
        await heard.all.wait()
    await heard.changes.end()


async def test_who_begins_to_tell_in_time_is_looked_at_as_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look comes after its word: nothing has to be looked at twice."""
    monkeypatch.setattr(changes, "BEGIN", BOUND)
    teller = Teller()
    heard = Heard(teller)
    teller.begins.set()
    async with asyncio.timeout(BOUND):
        await heard.changes.begun()
        await heard.one.wait()
    assert not heard.all.is_set()
    await heard.changes.end()
