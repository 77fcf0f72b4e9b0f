"""Which pane has the keys after something lay over it, hid it, or one was elsewhere: the one that had them."""

from typing import Any

from textual.pilot import Pilot

from tests.room.acme import roll_back_cron
from tests.room.conftest import MakeAcme
from tests.room.live_cards import live_card
from tests.room.seen import pane_text, until
from tests.room.test_snapshots import _card_shows

MIDDLE, SMALL = (120, 35), (80, 24)


async def keys_at(pilot: Pilot[Any], pane: str) -> None:
    """Tab, until that pane has the keys; the journal is read by then, else a card may have nothing to show."""
    room: Any = pilot.app
    await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
    await until(pilot, lambda: room.keyed_pane is not None, "a pane to have the keys")
    for _ in range(9):
        if room.keyed_pane.name_of == pane:
            return
        await pilot.press("tab")
    raise AssertionError(f"Tab never comes to {pane}")


def has_keys(pilot: Pilot[Any], pane: str) -> bool:
    """And its title says so, without colour."""
    room: Any = pilot.app
    return room.focused_pane is not None and room.focused_pane.name_of == pane and "== " in pane_text(room, pane)


async def test_a_pane_that_a_small_terminal_has_no_room_for_has_them_when_it_comes_back(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=MIDDLE) as pilot:
        await keys_at(pilot, "timeline")
        await pilot.resize_terminal(*SMALL)
        await until(pilot, lambda: has_keys(pilot, "matrix") or room.focused_pane is room.pane("matrix"), "another one")
        await pilot.resize_terminal(60, 16)
        await pilot.resize_terminal(*MIDDLE)
        await until(pilot, lambda: has_keys(pilot, "timeline"), "the timeline to have the keys again")


async def test_who_moved_on_meanwhile_keeps_what_he_went_to(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=MIDDLE) as pilot:
        await keys_at(pilot, "timeline")
        await pilot.resize_terminal(*SMALL)
        await until(pilot, lambda: not room.pane("timeline").display, "it to be hidden")
        await keys_at(pilot, "rollouts")
        await pilot.resize_terminal(*MIDDLE)
        await until(pilot, lambda: room.pane("timeline").display, "it to be back")
        assert has_keys(pilot, "rollouts")


async def test_a_card_gives_them_back_also_when_the_terminal_changed_meanwhile(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=MIDDLE) as pilot:
        await keys_at(pilot, "timeline")
        for resized in (False, True):
            await pilot.press("d")
            await until(pilot, lambda: bool(list(room.cards())), "the card")
            if resized:
                await pilot.resize_terminal(*SMALL)
                await until(pilot, lambda: not room.pane("timeline").display, "the pane to be hidden below the card")
                await pilot.resize_terminal(*MIDDLE)
                await until(pilot, lambda: bool(room.pane("timeline").display), "it to be back")
            await pilot.press("escape")
            await until(pilot, lambda: has_keys(pilot, "timeline"), "the timeline to have the keys again")


async def test_going_back_gives_them_back_and_a_view_that_is_opened_begins_with_its_first(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=MIDDLE) as pilot:
        await keys_at(pilot, "timeline")
        await pilot.press("4")
        assert has_keys(pilot, "health-list")
        await pilot.press("escape")
        assert has_keys(pilot, "timeline")
        await pilot.press("4", "1")
        assert room.focused_pane is room.pane("matrix")


async def test_a_zoomed_pane_keeps_them_when_it_is_closed(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=MIDDLE) as pilot:
        await keys_at(pilot, "timeline")
        await pilot.press("z")
        assert has_keys(pilot, "timeline")
        await pilot.press("escape")
        assert has_keys(pilot, "timeline")


async def test_a_live_card_that_leads_to_the_rollouts_leaves_the_keys_there(make_acme: MakeAcme, acme: Any) -> None:
    roll_back_cron(acme.state)
    room = make_acme(target="production/cron")
    async with room.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
        room.push_screen(live_card(room, 84))
        await until(pilot, lambda: _card_shows("2 of 4 hosts")(room), "the card")
        await pilot.press("2")
        await until(pilot, lambda: not list(room.cards()), "the card to be closed")
        assert has_keys(pilot, "rollout-list")
        await pilot.press("tab")
        assert has_keys(pilot, "rollout")


async def test_a_live_card_takes_the_key_that_leaves_the_room(make_acme: MakeAcme, acme: Any) -> None:
    """The rollout is the worker's: it goes on."""
    roll_back_cron(acme.state)
    room = make_acme(target="production/cron")
    async with room.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
        room.push_screen(live_card(room, 84))
        await until(pilot, lambda: _card_shows("Q leave, it goes on")(room), "the card")
        await pilot.press("Q")
        await until(pilot, lambda: room.return_code == 0 and not room.is_running, "the room to be left")
