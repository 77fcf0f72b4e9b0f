"""Cards that follow a rollout: news that come faster than they can be looked at, and a journal that answers too late."""

import asyncio
import gc
import warnings
from functools import partial
from typing import Any

import pytest

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.card import SLOW
from quarterdeck.tui.room.cards.rollback import RollbackCard
from quarterdeck.tui.room.cards.under_way import AbortCard
from quarterdeck.tui.room.desk import News
from tests.room.acme import roll_back_cron
from tests.room.conftest import MakeAcme
from tests.room.seen import until

ROLLOUT, TARGET = 84, "production/cron"


class Following(AbortCard):
    """How often it has begun to look, and has seen something. It sees while ``gate`` is set; ``late``: so often it is not answered."""

    def __init__(self, late: int = 0) -> None:
        super().__init__(ROLLOUT, TARGET)
        self.begun = self.ended = 0
        self.late = late
        self.gate = asyncio.Event()

    async def _look(self) -> None:
        self.begun += 1
        if self.begun <= self.late:
            raise TimeoutError
        await self.gate.wait()
        await super()._look()
        self.ended += 1


@pytest.fixture
def room(make_acme: MakeAcme, acme: Any) -> Room:
    roll_back_cron(acme.state)
    return make_acme(target=TARGET)


def news(room: Room) -> News:
    return News(room.picture, tuple(event for event in room.recent if event.rollout == ROLLOUT)[:1])


async def test_news_that_come_faster_than_a_look_put_none_off(room: Room) -> None:
    async with room.run_test() as pilot:
        await until(pilot, lambda: bool(news(room).events), "the journal to be read")
        card = Following()
        room.push_screen(card)
        await until(pilot, lambda: card.begun == 1, "the first look")
        for _ in range(5):
            card.news(news(room))
            await pilot.pause()
        card.gate.set()
        await until(pilot, lambda: card.ended == 2, "what came meanwhile to be seen, at once")
        assert card.begun == 2, "the first look was not begun anew each time"
        assert card.seen is not None


async def test_what_was_not_answered_in_time_is_looked_at_again(room: Room) -> None:
    async with room.run_test() as pilot:
        await until(pilot, lambda: bool(news(room).events), "the journal to be read")
        card = Following(late=2)
        room.push_screen(card)
        await until(pilot, lambda: card.begun == 3, "a look without any news")
        assert card.said == SLOW
        card.gate.set()
        await until(pilot, lambda: card.ended == 1, "it to be seen")
        assert card.said == ""


async def test_a_card_that_could_not_be_armed_in_time_can_be_looked_at_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def late(_wish: Any) -> Any:
        nonlocal tries
        tries += 1
        raise TimeoutError

    async with room.run_test() as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
        monkeypatch.setattr(room.desk, "act", late)  # a journal that hangs for longer than anybody waits
        card = RollbackCard(TARGET, None)
        room.push_screen(card)
        await until(pilot, lambda: card.not_begun == SLOW, "it to be told")
        await pilot.press("r")
        await until(pilot, lambda: tries == 2 and card.not_begun == SLOW, "the second try")


async def test_what_is_replaced_before_it_has_begun_is_never_made(room: Room) -> None:
    async with room.run_test() as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
        card = Following()
        room.push_screen(card)
        await until(pilot, lambda: card.begun == 1, "the card")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for _ in range(3):
                card.begin(partial(asyncio.sleep, 0), "once")
            await pilot.pause()
            gc.collect()
        assert not [str(one.message) for one in warned if "never awaited" in str(one.message)]
