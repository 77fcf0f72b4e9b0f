"""A journal that takes longer to answer than the screen takes to be drawn anew: its answers are waited for, and shown. One that did not
answer in time is asked again."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from quarterdeck.history.journal import Journal
from quarterdeck.tui.room import app
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.panes import history
from quarterdeck.tui.room.panes.history import History
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until

T = TypeVar("T")
ANSWER = 0.6  # seconds that each answer takes
TICK = 0.05  # seconds between two builds: twelve in the time of an answer, as where one takes twelve seconds


def slow(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has its journal answer slowly."""
    ask = room.desk.ask

    async def slowly(question: Callable[[Journal], T]) -> T:
        def answer(journal: Journal) -> T:
            time.sleep(ANSWER)
            return question(journal)

        return await ask(answer)

    monkeypatch.setattr(room.desk, "ask", slowly)
    monkeypatch.setattr(app, "TICK", TICK)


async def test_older_events_come(make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail where each build asked anew, which gave up what had been asked before."""
    room = make_room()
    slow(room, monkeypatch)
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: "requested" in pane_text(room, "history"), "the history")
        await until(pilot, lambda: "+" not in pane_text(room, "history").splitlines()[0], "all of it")


async def test_what_happens_to_a_rollout_that_goes_on_is_shown(
    make_room: MakeRoom, filled: Qd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail where a look that was due gave up the one that was under way."""
    room = make_room(target="production/web")
    slow(room, monkeypatch)
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "what happened" in pane_text(room, "rollout"), "the rollout")
        chosen = room.chosen_rollout
        assert chosen is not None
        with filled.journal() as journal:
            journal.note("the disk was full", target="production/web", rollout=chosen)
        await until(pilot, lambda: "the disk was full" in pane_text(room, "rollout"), "the note")


async def test_a_journal_that_did_not_answer_is_asked_again(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail where only another event, or nothing, had it asked again."""
    room = make_room(target="production/web")
    ask, late = room.desk.ask, [True]

    async def asked(question: Callable[[Journal], T]) -> T:
        if late[0]:
            raise TimeoutError
        return await ask(question)

    monkeypatch.setattr(room.desk, "ask", asked)
    monkeypatch.setattr(app, "TICK", TICK)
    monkeypatch.setattr(history, "ASK_AGAIN", 0.2)
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "did not answer in time" in pane_text(room, "rollout"), "the rollout's fault")
        await pilot.press("5")
        whole = room.pane("history")
        assert isinstance(whole, History)
        await until(pilot, lambda: "did not answer in time" in whole._fault, "the history's fault")
        late[0] = False
        await until(pilot, lambda: "+" not in pane_text(room, "history").splitlines()[0], "all of the history")
        await pilot.press("2")
        await until(pilot, lambda: "what happened" in pane_text(room, "rollout"), "the rollout")
