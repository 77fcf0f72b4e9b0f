"""The matrix: what a cell says, which columns there is room for, and a cursor that stays on its target whatever moves."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.history.records import Debt
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.target import TargetSeen, WayBack
from quarterdeck.tui.room.matching import matcher
from quarterdeck.tui.room.overview.cells import back_words, cell, too_old
from quarterdeck.tui.room.overview.matrix import Order, chosen_services, columns_for
from quarterdeck.tui.room.rows import cells, plain
from tests.room.conftest import MakeAcme, MakeRoom
from tests.room.seen import pane_text, until

NOW = datetime(2026, 11, 24, 14, 32, 7, tzinfo=UTC)
FRESH, AGES_AGO = "2026-11-24T14:32:06.000Z", "2026-11-24T14:20:00.000Z"


def _seen(*hosts: HostSeen, **more: Any) -> TargetSeen:
    made = TargetSeen("p/api", "p", "api", release="v9-a", version="v9", health="healthy", hosts=hosts)
    ready = msgspec.structs.replace(made, back=WayBack("ready", "v8-a", "v8"))
    return msgspec.structs.replace(ready, **more)


def _host(kept: tuple[str, ...] | None = ("v8-a", "v9-a"), seen: str = FRESH, error: str | None = None) -> HostSeen:
    return HostSeen("h", "v9-a", "v9", "healthy", seen, error, kept=None if kept is None else frozenset(kept))


GONE = _seen(_host(("v9-a",)), back=WayBack("degraded", "v8-a", "v8", ("h: no copy of v8",)))
CELLS = [
    # target, columns, chosen, others, what is shown
    (_seen(_host()), 12, False, (), " =v9"),
    (_seen(_host()), 12, True, (), "[=v9]"),
    (_seen(_host(seen=AGES_AGO)), 12, False, (), " ?v9 old 12m"),
    (_seen(_host(seen=AGES_AGO)), 11, False, (), " ?v9 old12m"),
    (_seen(_host(seen=AGES_AGO, error="no answer")), 12, False, (), " ?v9 12m"),
    (_seen(_host(seen=AGES_AGO, error="no answer")), 13, False, (), " ?v9 stale12m"),
    (GONE, 12, False, (), " =v9 GONE"),
    (GONE, 8, False, (), " =v9 !!"),
    (_seen(_host()), 14, False, ("dana@bastion-2",), " =v9 @dana"),
    (_seen(_host()), 14, True, ("dana@b", "lena@b"), "[=v9 @2]"),
    (
        msgspec.structs.replace(
            GONE, health="down", hosts=(msgspec.structs.replace(_host(("v9-a",)), health="unhealthy"),)
        ),
        12,
        False,
        (),
        " xv9 down !!",
    ),
    (None, 10, False, (), ""),
    (None, 10, True, (), "[]"),
]


@pytest.mark.parametrize(("seen", "width", "chosen", "others", "shown"), CELLS)
def test_a_cell(seen: TargetSeen | None, width: int, chosen: bool, others: tuple[str, ...], shown: str) -> None:
    spans = cell(seen, width, NOW, too_old(NOW), chosen=chosen, others=others)
    assert plain(spans).rstrip() == shown
    assert cells(plain(spans)) == width


def test_the_way_back_in_words() -> None:
    ready, four = _seen(_host()), (_host(), _host(), _host(), _host(("v9-a",)))
    assert back_words(ready)[0] == "v8 ok"
    assert back_words(GONE)[0] == "v8 GONE"
    assert back_words(msgspec.structs.replace(GONE, hosts=four))[0] == "v8 3/4"
    assert back_words(msgspec.structs.replace(GONE, hosts=(_host(None),)))[0] == "v8 ?"
    assert back_words(msgspec.structs.replace(ready, back=WayBack()))[0] == "none"
    assert back_words(msgspec.structs.replace(ready, release=None))[0] == "-"
    owed = (Debt("production/api", "web-1", "v9-aaaaaaaaaa", 1, "2026-11-28T12:00:00.000Z", "no answer"),)
    half_way = msgspec.structs.replace(ready, back=WayBack(), owed=owed)
    assert back_words(half_way)[0] == f"{ready.version} owed", (
        "there is no release to go back to, and a host to bring back"
    )


@given(
    width=st.integers(60, 250),
    names=st.lists(st.text("abcdefgh-", min_size=1, max_size=40), min_size=1, max_size=12),
    count=st.integers(1, 12),
    data=st.data(),
)
def test_columns_never_leave_the_screen_nor_the_chosen_environment_or_production_out(
    width: int, names: list[str], count: int, data: st.DataObject
) -> None:
    environments = [f"environment-{n}" for n in range(count)]
    chosen = data.draw(st.sampled_from(environments))
    columns = columns_for(width, names, environments, chosen)
    used = columns.name + 2 + len(columns.environments) * columns.cell + sum(wide + 1 for _, wide in columns.more)
    assert used <= width
    assert {chosen, environments[-1]} <= set(columns.environments)
    assert columns.before + columns.after + len(columns.environments) == count
    assert list(columns.environments) == sorted(columns.environments, key=environments.index)


async def test_sorted_by_risk_by_name_and_by_what_changed_last(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        picture = room.picture
        assert chosen_services(picture)[:2] == ["api", "search"]  # ill in production, failed elsewhere
        assert chosen_services(picture, Order.NAME) == sorted(picture.services)
        changed = chosen_services(picture, Order.CHANGED)
        assert (changed[0], changed[-1]) == ("api", "orders")  # orders was never in production
        assert chosen_services(picture, Order.NAME, matcher("!er"))[:2] == ["api", "auth"]
        assert chosen_services(picture, Order.NAME, matcher("drift")) == ["billing"]
        assert chosen_services(picture, Order.NAME, matcher("-f gtw")) == ["gateway"]


async def test_the_cursor_is_on_a_target_whatever_is_sorted_filtered_or_changed(make_acme: MakeAcme) -> None:
    room = make_acme(target="staging/cron")
    async with room.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        for key in ("o", "o", "o"):
            await pilot.press(key)
            await pilot.pause()
            assert room.place.target == "staging/cron"
            line = next(line for line in pane_text(room, "matrix").splitlines() if line.startswith(">"))
            assert line.startswith(">cron")
            assert "[=v12]" in line
        room.pane("matrix").set_filter("mailer")
        await pilot.pause()
        assert room.place.target == "staging/cron"  # not shown any more, and still what keys act on
        assert "cron @ STAGING" in pane_text(room, "card")
        assert "1 of 10 services shown" in pane_text(room, "matrix")
        await pilot.press("j")
        assert room.place.target == "staging/mailer"
        room.pane("matrix").set_filter("")
        await pilot.press("right", "right")
        assert room.place.target == "production/mailer"
        await pilot.press("right")
        assert room.place.target == "production/mailer"


async def test_a_target_that_left_the_fleet_file_is_acted_on_no_more(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/cron")
    async with room.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        targets = {name: target for name, target in room.fleet.targets.items() if name != "production/cron"}
        room.fleet = msgspec.structs.replace(room.fleet, targets=targets)
        room.desk.change_fleet(room.fleet)
        await until(pilot, lambda: "production/cron" not in room.picture.targets, "the new fleet")
        assert room.said == "production/cron is not in the fleet file any more: preprod/cron is chosen now"
        assert "cron @ PREPROD" in pane_text(room, "card")
        await pilot.press("right")
        assert room.place.target == "preprod/cron"


async def test_until_the_picture_has_gone_on_a_target_that_left_is_acted_on_no_more(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/cron")
    async with room.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        room.fleet = msgspec.structs.replace(
            room.fleet, targets={n: t for n, t in room.fleet.targets.items() if n != "production/cron"}
        )
        for key in "R", "h":
            room.say("")
            await pilot.press(key)
            await pilot.pause()
            assert "production/cron is not in the fleet file" in room.said, key
        assert (room.place.view, len(room.screen_stack)) == ("overview", 1)


async def test_more_environments_than_fit_scroll_and_production_stays(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(80, 24)) as pilot:
        names = [f"environment-{n}" for n in range(9)]
        targets = {f"{name}/api": TargetSeen(f"{name}/api", name, "api", hosts=(_host(),)) for name in names}
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        room.picture = msgspec.structs.replace(
            room.picture, environments=tuple(names), services=("api",), targets=targets
        )
        for wanted in ("environment-0", "environment-4", "environment-8"):
            room.choose(f"{wanted}/api")
            line = next(line for line in pane_text(room, "matrix").splitlines() if line.startswith(">"))
            assert "[" in line, wanted
        room.choose("environment-0/api")
        head = pane_text(room, "matrix").splitlines()[0]
        assert ">" in head
