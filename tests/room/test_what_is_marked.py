"""In every view the marked row is of the target that keys act on; where none is, that target is named."""

from quarterdeck.history.records import ENDED
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.armed import ArmedCard
from quarterdeck.tui.room.cards.under_way import AbortCard
from tests.room.conftest import MakeAcme
from tests.room.seen import pane_text, until


def marked(room: Room, pane: str) -> list[str]:
    return [line for line in pane_text(room, pane).splitlines() if line.startswith(">")]


async def test_in_the_rollouts_the_marked_one_is_of_the_chosen_target_and_every_key_acts_on_it(
    make_acme: MakeAcme,
) -> None:
    room = make_acme(target="dev/cron")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("2")
        await until(pilot, lambda: "dev/cron" in "".join(marked(room, "rollout-list")), "its rollout, not the first")
        await pilot.press("g")
        chosen = room.place.target
        assert chosen != "dev/cron"
        assert chosen is not None
        assert [chosen in line for line in marked(room, "rollout-list")] == [True]
        await pilot.press("A")
        await until(pilot, lambda: bool(list(room.cards())), "the card")
        assert [card.target for card in room.cards() if isinstance(card, AbortCard)] == [chosen]
        await pilot.press("escape")
        room.choose("staging/search")  # as in the matrix, or by the key that chooses the worst
        room.visit("rollouts")
        await until(
            pilot, lambda: "staging/search" in "".join(marked(room, "rollout-list")), "another target's rollout"
        )
        await until(pilot, lambda: "staging/search" in pane_text(room, "rollout").splitlines()[0], "and that one whole")


async def test_where_nothing_was_rolled_out_no_rollout_is_marked(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/orders")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("2")
        await until(pilot, lambda: "on production/orders" in pane_text(room, "rollout"), "that there was none")
        assert marked(room, "rollout-list") == []


async def test_in_drift_no_other_target_s_host_is_marked(make_acme: MakeAcme) -> None:
    room = make_acme(target="dev/web")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("6")
        await until(pilot, lambda: "keys act on dev/web" in pane_text(room, "drift"), "what keys act on")
        assert marked(room, "drift") == []
        await pilot.press("j")
        await until(pilot, lambda: len(marked(room, "drift")) == 1, "a marked host")
        assert room.place.target != "dev/web"
        assert str(room.place.target) in marked(room, "drift")[0]
        assert "keys act on" not in pane_text(room, "drift")
        await pilot.press("R")
        await until(pilot, lambda: bool(list(room.cards())), "the card")
        assert [card.target for card in room.cards() if isinstance(card, ArmedCard)] == [room.place.target]


async def test_the_history_of_the_fleet_names_the_target_that_keys_act_on(make_acme: MakeAcme) -> None:
    room = make_acme(target="dev/web")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("5")
        await until(pilot, lambda: "keys act on dev/web" in pane_text(room, "entry"), "what keys act on")
        await pilot.press("e")
        await until(pilot, lambda: "history of dev/web" in pane_text(room, "history"), "its own history")
        assert "keys act on" not in pane_text(room, "entry")


async def test_keys_for_a_rollout_are_offered_where_the_chosen_one_is_under_way_only(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/api")
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "P pause  A abort" in pane_text(room, "footer"), "the keys for what is under way")
        ended = next(seen.id for seen in room.picture.rollouts if seen.rollout.state in ENDED)
        room.choose(rollout=ended)
        await until(pilot, lambda: "A abort" not in pane_text(room, "footer"), "none for what has ended")
        assert "R rollback" in pane_text(room, "footer")
