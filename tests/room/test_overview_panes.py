"""Card, rollouts, difference and alert band of the overview."""

import msgspec

from quarterdeck.history.records import RolloutState
from quarterdeck.tui.room.overview.rollouts import bar, ended_row, living_row, rollout_lines
from quarterdeck.tui.room.overview.tabs import counts, tabs_row
from quarterdeck.tui.room.overview.worst import worst
from quarterdeck.tui.room.rows import plain, width_of
from tests.room.acme import NOW
from tests.room.conftest import MakeAcme
from tests.room.seen import pane_text, until


def test_a_bar_is_as_long_as_it_is_told_and_full_only_at_the_end() -> None:
    assert bar(2, 4, 12) == "[#####.....]"
    assert bar(0, 4, 12) == "[..........]"
    assert bar(4, 4, 12) == "[##########]"
    assert bar(99, 100, 12) == "[#########.]"
    assert bar(1, 2, 4) == ""


async def test_rollouts_in_trouble_come_first_and_the_trees_take_the_room_that_there_is(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        living = len(room.picture.moving)
        assert living == 3
        for height in range(1, 40):
            lines = rollout_lines(room.picture, 100, height, NOW)
            ids = [line.rollout for line in lines]
            trees = ids[: len(ids) - sum(seen.rollout.ended is not None for seen in room.picture.rollouts)]
            assert len(trees) <= max(height, living)
            first = room.picture.rollout(lines[0].rollout)
            assert first is not None
            assert first.rollout.target == "production/api"
        tall = "\n".join(plain(line.row) for line in rollout_lines(room.picture, 100, 40, NOW))
        assert "+- web-2                    v144       unhealthy" in tall
        assert "ORPHANED" in tall
        assert "taken back" in tall


async def test_the_card_tells_now_back_why_and_what_happened_last(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/mailer")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        card = pane_text(room, "card").splitlines()
        assert card[0].startswith("-- mailer @ PRODUCTION")
        assert card[1].startswith(" now  ?v9 sha256:")
        assert card[2].startswith(" back v8 GONE")
        assert card[3].startswith(" why  web-4: no answer (seen 7m ago)")
        room.choose("staging/search")
        card = pane_text(room, "card").splitlines()
        assert "failed: st-2: http 500" in card[3]


async def test_older_versions_and_the_path_back_where_there_is_room(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/api")
    async with room.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: "diff v143 -> v144" in pane_text(room, "diff"), "the difference")
        await until(pilot, lambda: "digest" in pane_text(room, "diff"), "what differs")
        assert "stop rollout" in pane_text(room, "card")
        room.choose("production/web")
        await until(pilot, lambda: "diff v87 -> v88" in pane_text(room, "diff"), "the other difference")
        room.choose("production/orders")
        await until(pilot, lambda: "nothing to go back to" in pane_text(room, "diff"), "that there is none")


async def test_the_band_names_the_worst_and_how_many_more(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        seen, more = worst(room.picture)
        assert seen is not None
        assert (seen.target, more) == ("production/api", 4)
        assert seen.moving is not None
        assert seen.moving.rollout.state is RolloutState.RUNNING
        assert pane_text(room, "alert").startswith("!! PROD api v144")
        assert counts(room.picture)["drift"] == 1


async def test_enter_on_a_rollout_opens_it(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("tab", "j", "j", "enter")
        assert room.place.view == "rollouts"
        assert room.place.rollout in {seen.id for seen in room.picture.moving}


def test_all_views_keep_their_number_however_narrow_it_is() -> None:
    for width in (60, 80, 120):
        line = tabs_row("overview", {"rollouts": 12, "drift": 3, "readiness": 4}, width, "something")
        assert width_of(line) == width
        for number in range(1, 9):
            assert str(number) in plain(line), width


async def test_the_heads_say_at_once_which_one_pane_has_the_keys(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        shown = []
        for pane in room._focusable():
            room.set_focus(pane)
            await pilot.pause()
            shown.append([each.name_of for each in room._focusable() if plain(each._rows[0]).startswith("==")])
        # The matrix says it by the style of its head.
        assert shown == [[pane.name_of] if pane.name_of != "matrix" else [] for pane in room._focusable()]


async def test_a_version_that_is_a_digest_leaves_room_for_what_became_of_it(make_acme: MakeAcme) -> None:
    digest = f"sha256:{'1e303886' * 8}"
    room = make_acme()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        for seen in room.picture.rollouts:
            long = msgspec.structs.replace(seen, from_version=digest, to_version=digest)
            state = str(seen.rollout.state).replace("_", " ")
            living = seen.rollout.ended is None
            row = living_row(long, "production", 80, NOW) if living else ended_row(long, 80, NOW)
            shown = plain(row)[:80]
            assert "sha256:1e3038861e3.." in shown
            assert ("ok" if state == "succeeded" else state) in shown.lower()
