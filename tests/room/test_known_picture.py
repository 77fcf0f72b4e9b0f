"""What was read for the first paint is what the room begins with, brought up to what has happened since; never of another fleet, and
never for longer than until the journal is read."""

import msgspec
import pytest
from textual.events import Resize
from textual.geometry import Size

from quarterdeck.config.load import load_fleet
from quarterdeck.rollouts.picture import fleet as pictures
from quarterdeck.rollouts.picture.fleet import Picture, is_of, take_picture
from quarterdeck.tui.room.app import NewsCame
from quarterdeck.tui.room.desk import AT_A_TIME, Desk, News
from quarterdeck.tui.room.panes.all import PANES, make_pane
from quarterdeck.tui.room.panes.matrix import Matrix
from tests.cli.qd_command import OPERATOR, Qd
from tests.room.acme import LENA
from tests.room.conftest import MakeAcme
from tests.room.seen import pane_text, until


def known_of(acme: Qd) -> Picture:
    with acme.journal() as journal:
        return take_picture(load_fleet(acme.fleet_file), journal)


async def test_the_room_begins_with_it_and_goes_on_from_there(
    acme: Qd, make_acme: MakeAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_of(acme)
    room = make_acme(target="production/api", known=known)
    assert room.picture is known  # on the first frame, whatever the journal does meanwhile
    with acme.journal() as journal:
        journal.note("after the first paint", "production/api")

    def not_again(*_: object) -> Picture:
        raise AssertionError("the whole picture was taken a second time")

    monkeypatch.setattr("quarterdeck.tui.room.desk.take_picture", not_again)
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > known.head, "what has happened since")
        assert "after the first paint" in pane_text(room, "card")
        with acme.journal() as journal:
            journal.note("and live", "production/api")
        await until(pilot, lambda: "and live" in pane_text(room, "card"), "what happens now")


async def test_the_matrix_begins_at_its_top_when_the_first_picture_comes(make_acme: MakeAcme) -> None:
    """Where one was in a list without a picture says nothing: what is seen would depend on which of the two was quicker."""
    room = make_acme(target="production/web")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        now, matrix = room.picture, room.pane("matrix")
        assert isinstance(matrix, Matrix)
        room.picture = pictures.empty_picture(room.fleet)
        room.renew()
        assert matrix.first > 0  # by name alone web is the last one
        room.on_news_came(NewsCame(News(now, ())))
        assert matrix.first == 0
        matrix.first = 1
        room.on_news_came(NewsCame(News(now, ())))
        assert matrix.first == 1  # from then on it stays where it was put


def test_it_is_of_this_fleet_or_not_used(acme: Qd, make_acme: MakeAcme) -> None:
    known = known_of(acme)
    fleet = load_fleet(acme.fleet_file)
    assert is_of(known, fleet)
    first = next(iter(known.targets))
    others = [
        msgspec.structs.replace(known, fleet="another"),
        msgspec.structs.replace(known, environments=known.environments[::-1]),
        msgspec.structs.replace(known, services=known.services[1:]),
        msgspec.structs.replace(known, targets={name: seen for name, seen in known.targets.items() if name != first}),
        msgspec.structs.replace(
            known, targets={**known.targets, first: msgspec.structs.replace(known.targets[first], hosts=())}
        ),
    ]
    for other in others:
        assert not is_of(other, fleet)
        assert make_acme(known=other).picture == pictures.empty_picture(fleet)
    assert not is_of(None, fleet)


def test_where_more_has_happened_than_is_quick_to_read_it_is_taken_anew(acme: Qd) -> None:
    known = known_of(acme)
    with acme.journal() as journal:
        for number in range(AT_A_TIME + 1):
            journal.note(f"note {number}", "production/api")
    told: list[News] = []
    desk = Desk(load_fleet(acme.fleet_file), OPERATOR, read_only=True, tell=told.append, known=known)
    with acme.journal() as journal:
        assert desk._brought_up(journal) is None


def test_a_desk_that_was_never_opened_is_closed(acme: Qd) -> None:
    """The room may end before its first keys: a key typed ahead, a terminal that is gone."""
    Desk(load_fleet(acme.fleet_file), LENA, read_only=True, tell=lambda _news: None).close()


@pytest.mark.parametrize("name", PANES)
def test_every_pane_is_found_by_its_name(name: str) -> None:
    assert make_pane(name).name_of == name


def test_a_size_that_is_told_before_anything_is_there_harms_nothing(make_acme: MakeAcme) -> None:
    make_acme().on_resize(Resize(Size(80, 24), Size(80, 24)))
