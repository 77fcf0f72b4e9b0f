"""`/` in every list of the room: what is shown, what an empty list says, and that the chosen target stays chosen."""

from functools import partial

from quarterdeck.tui.room.app import Room
from tests.room.conftest import MakeAcme
from tests.room.seen import pane_text, until


def shows(room: Room, pane: str, words: str) -> bool:
    return words in pane_text(room, pane)


def has_the_keys(room: Room, pane: str) -> bool:
    return room.focused_pane is room.pane(pane)


async def test_every_list_is_filtered_and_what_is_chosen_stays(make_acme: MakeAcme) -> None:
    """By `/` in each pane: only what matches is shown, an empty list says why, `esc` shows all of it again."""
    room = make_acme(target="production/mailer")
    panes = {
        "1": ("matrix", "mailer"), "2": ("rollout-list", "gateway"), "4": ("health-list", "mailer"),
        "5": ("history", "watching"), "6": ("drift", "billing"), "7": ("readiness", "mailer"), "8": ("builds", "v9"),
    }  # fmt: skip
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "mailer" in pane_text(room, "matrix"), "the picture")
        for view, (name, words) in panes.items():
            pane = room.pane(name)
            await pilot.press(view)
            await until(pilot, partial(shows, room, name, words), name)
            target = room.place.target
            await pilot.press("slash", *words, "enter")
            listed = [line for line in pane_text(room, name).splitlines()[1:] if line.strip()]
            assert any(words in line for line in listed), name
            assert pane.matcher.words == words
            assert f"filter: {words}" in pane_text(room, "tabs")
            await pilot.press("slash", *"nothing-of-it", "enter")
            assert "filter" in pane_text(room, name), name
            await pilot.press("escape")
            assert not pane.matcher.active
            assert room.place.target == target, name


async def test_rollouts_and_timeline_of_the_overview_are_filtered_too(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/mailer")
    async with room.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: "watching" in pane_text(room, "timeline"), "the timeline")
        for name, words, other in (("rollouts", "gateway", "search"), ("timeline", "watching", "gateway")):
            room.set_focus(room.pane(name))
            await until(pilot, partial(has_the_keys, room, name), name)
            await pilot.press("slash", *words, "enter")
            text = pane_text(room, name)
            assert words in text
            assert other not in text
            await pilot.press("escape")
            assert other in pane_text(room, name)
