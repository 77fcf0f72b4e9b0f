"""The timeline and the history: what is shown of events, and that the chosen one stays chosen."""

import time

from quarterdeck.history.records import Event
from quarterdeck.tui.room.matching import matcher
from quarterdeck.tui.room.panes.history import History
from quarterdeck.tui.room.panes.plots import bars
from quarterdeck.tui.room.rows import plain
from quarterdeck.tui.room.timeline import Pages, entry_rows, long_row, shown
from tests.cli.qd_command import EVIL, Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import DEADLINE, pane_text, until


def event(seq: int, kind: str = "note", target: str | None = "production/api", **body: object) -> Event:
    return Event(seq, "2026-11-24T10:00:00.000Z", 1, "alice@b", kind, target, 7, None, dict(body), "0" * 64)


def test_details_are_left_out_but_a_failed_step_never_is() -> None:
    events = [event(1, "step.done", action="switch"), event(2, "step.failed", action="switch"), event(3, "worker")]
    assert [e.seq for e in shown(events)] == [2]
    assert [e.seq for e in shown(events, details=True)] == [1, 2, 3]


def test_a_target_and_a_filter_narrow_it() -> None:
    events = [event(1, text="disk full"), event(2, text="calm"), event(3, text="disk", target="staging/api")]
    assert [e.seq for e in shown(events, target="production/api", find=matcher("disk"))] == [1]
    assert [e.seq for e in shown(events, find=matcher("!disk"))] == [2]


def test_pages_grow_at_both_ends_and_hold_each_event_once() -> None:
    pages = Pages()
    pages.add_news([event(8), event(9)])
    pages.add_older([event(8), event(7), event(6)], complete=False)
    pages.add_news([event(9), event(10)])
    assert [e.seq for e in pages.events] == [10, 9, 8, 7, 6]


def test_rows_fit_and_foreign_text_is_harmless() -> None:
    for width in (40, 79, 120):
        text = plain(long_row(event(1, text=EVIL * 5), width, chosen=True))
        assert text.isprintable()
    assert all(plain(row).isprintable() for row in entry_rows(event(1, text=EVIL, more={"a": [EVIL]}), 60))


def test_a_reason_is_told_once() -> None:
    text = plain(long_row(event(1, "reason", reason="v4 answers 500"), 120, chosen=False))
    assert text.count("reason") == 1
    assert "v4 answers 500 (alice@b)" in text


def test_bars_never_show_something_as_nothing() -> None:
    assert bars([0, 1, 1000], 10)[1] != " "
    assert bars([0.0, 0.0], 10) == "  "


async def test_the_history_shows_what_happened_and_the_chosen_entry_stays_chosen(
    make_room: MakeRoom, filled: Qd
) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("e")
        await until(pilot, lambda: "history of production/api" in pane_text(room, "history"), "the target's history")
        await pilot.press("j", "j")
        history = room.pane("history")
        assert isinstance(history, History)
        chosen = history.chosen()
        assert chosen is not None
        with filled.journal() as journal:
            journal.note("something new", "production/api")
        await until(pilot, lambda: "something new" in pane_text(room, "history"), "the note")
        assert history.chosen() == chosen
        assert str(chosen.seq) in pane_text(room, "entry")
        await pilot.press("e")
        await until(pilot, lambda: "the whole fleet" in pane_text(room, "history"), "the whole history")


async def test_older_pages_are_read_when_the_end_comes_near(make_room: MakeRoom, filled: Qd) -> None:
    with filled.journal() as journal:
        for number in range(1200):
            journal.note(f"note {number}")
    room = make_room()
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: "note 1199" in pane_text(room, "history"), "the newest")
        end = time.monotonic() + DEADLINE
        while "requested" not in pane_text(room, "history"):
            assert time.monotonic() < end, "the first event was never reached"
            await pilot.press("G")
            await until(pilot, lambda: all(asked.is_finished for asked in room.workers), "what the journal was asked")


async def test_drift_readiness_and_artifacts_show_what_is_known(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("6")
        await until(pilot, lambda: "web-2" in pane_text(room, "drift"), "the host that is lost")
        assert "no answer" in pane_text(room, "drift")
        await pilot.press("7")
        await until(pilot, lambda: "production/api" in pane_text(room, "readiness"), "readiness")
        assert "v1" in pane_text(room, "readiness")
        await pilot.press("8")
        await until(pilot, lambda: "bad" in pane_text(room, "builds"), "the release that was taken back")
        assert "1/2" in pane_text(room, "builds")


async def test_every_step_is_shown_by_v_and_left_out_again(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: "deploy" in pane_text(room, "history"), "the history")
        history = room.pane("history")
        assert isinstance(history, History)
        before = len(history._shown)
        await pilot.press("v")
        await until(pilot, lambda: len(history._shown) > before, "every step")
        assert "every step" in history.heading()
        await pilot.press("colon", *"details", "enter")
        await until(pilot, lambda: len(history._shown) == before, "steps to be left out again")
