"""Lists of thousands of rows: only those on the screen are made, and what is made of a picture is made once. Both say what making all of it
anew would."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.config.load import load_fleet
from quarterdeck.rollouts.health import Probes
from quarterdeck.rollouts.picture.fleet import Picture, take_picture
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.matching import EVERYTHING, Matcher, matcher
from quarterdeck.tui.room.panes import health_list
from quarterdeck.tui.room.panes.once import Once
from quarterdeck.tui.room.panes.readiness import by_readiness, readiness_rows
from quarterdeck.tui.room.rows import Joined, Lazily, Row, row
from tests.cli.qd_command import Qd
from tests.room.acme import NOW
from tests.room.conftest import MakeAcme
from tests.room.seen import until

rows = st.lists(st.integers(0, 5).map(lambda number: row(str(number))), max_size=4)


@given(parts=st.lists(rows, max_size=4), start=st.none() | st.integers(-9, 9), stop=st.none() | st.integers(-9, 9))
def test_joined_lists_are_as_one(parts: list[list[Row]], start: int | None, stop: int | None) -> None:
    whole = [one for part in parts for one in part]
    joined = Joined(*(Lazily(len(part), part.__getitem__) for part in parts))
    assert list(joined) == whole
    assert len(joined) == len(whole)
    assert joined[start:stop] == whole[start:stop]
    assert joined[start:stop:2] == whole[start:stop:2]
    for at in range(-len(whole), len(whole)):
        assert joined[at] == whole[at]
    with pytest.raises(IndexError):
        joined[len(whole)]


def test_what_is_made_of_a_picture_is_made_once_for_each_filter(acme: Qd) -> None:
    with acme.journal() as journal:
        picture = take_picture(load_fleet(acme.fleet_file), journal)
    made: list[Matcher] = []

    def make(found: Picture, find: Matcher) -> list[str]:
        made.append(find)
        return [name for name in found.targets if find.matches(name)]

    once = Once(make)
    assert once.of(picture) is once.of(picture)
    assert [find.words for find in made] == [""]
    assert once.of(picture, matcher("billing")) == [name for name in picture.targets if "billing" in name]
    assert once.of(msgspec.structs.replace(picture, head=picture.head + 1), matcher("billing"))
    assert [find.words for find in made] == ["", "billing", "billing"]


def test_only_rows_that_are_looked_at_are_made(acme: Qd, monkeypatch: pytest.MonkeyPatch) -> None:
    with acme.journal() as journal:
        picture = take_picture(load_fleet(acme.fleet_file), journal)
    made: list[str] = []
    one = health_list._row

    def counted(seen: TargetSeen, found: Probes | None, names: int, now: datetime | None, *, here: bool) -> Row:
        made.append(seen.target)
        return one(seen, found, names, now, here=here)

    monkeypatch.setattr(health_list, "_row", counted)
    every = health_list.by_risk(picture)
    found = health_list.list_rows(every, {}, None, NOW, 80)
    assert len(found) == len(every) + 1
    assert len(found[3:6]) == 3
    assert made == [seen.target for seen in every[2:5]]
    ready = by_readiness(picture, EVERYTHING)
    assert len(readiness_rows(ready, None, 120, now=NOW)) == len(ready) + 3


@pytest.mark.parametrize("view", ["4", "6", "7"])
async def test_a_list_goes_with_its_picture_and_the_cursor_with_its_target(make_acme: MakeAcme, view: str) -> None:
    """A pane that kept its rows when the picture changed was seen to fail it."""
    room = make_acme(target="production/api")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press(view)
        pane = next(one for one in room.visible_panes() if one.name_of in ("health-list", "drift", "readiness"))
        before = pane.copy_text(), [pane._rows[1:]]
        shown = room.picture
        room.picture = msgspec.structs.replace(shown, targets={"production/api": shown.targets["production/api"]})
        room.renew()
        assert [pane._rows[1:]] != before[1]
        room.picture = shown
        room.renew()
        assert (pane.copy_text(), [pane._rows[1:]]) == before
