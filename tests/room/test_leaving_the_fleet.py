"""The fleet file loses what is chosen while the room is open: a neighbour is chosen, that is said, and every view goes on."""

import pytest

from quarterdeck.tui.room.neighbours import neighbour
from quarterdeck.tui.room.panes.matrix import Matrix
from tests.cli.qd_command import Qd
from tests.room.acme import ENVIRONMENTS, VERSIONS
from tests.room.conftest import MakeAcme
from tests.room.seen import pane_text, until

TARGETS = [f"{environment}/{service}" for environment in ENVIRONMENTS for service in VERSIONS]
SERVICES = list(VERSIONS)  # as they stand on the screen: api, web, worker, ..., cron, orders


@pytest.mark.parametrize(
    ("gone", "left_out", "chosen"),
    [
        ("production/web", (), "preprod/web"),  # the environment before it
        ("production/web", ("preprod/web",), "staging/web"),
        ("dev/web", (), "staging/web"),  # none is before it
        ("production/web", [f"{e}/web" for e in ENVIRONMENTS], "production/worker"),  # the service below
        ("production/orders", [f"{e}/orders" for e in ENVIRONMENTS], "production/cron"),  # it was the last
        ("production/web", TARGETS[1:], "dev/api"),  # all that is left
        ("production/web", TARGETS, None),
    ],
)
def test_the_neighbour(gone: str, left_out: list[str], chosen: str | None) -> None:
    there = [target for target in TARGETS if target != gone and target not in left_out]
    assert neighbour(gone, there, list(ENVIRONMENTS), SERVICES) == chosen


VIEWS = [str(number) for number in range(1, 9)]


async def lose(acme: Qd, service: str) -> None:
    """The fleet file without that service, written as an editor writes it."""
    lines = acme.fleet_file.read_text().splitlines(keepends=True)
    at = lines.index(f"  {service}:\n")
    new = acme.fleet_file.with_suffix(".new")
    new.write_text("".join([*lines[:at], *lines[at + 4 :]]))
    new.replace(acme.fleet_file)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_service_leaves_the_fleet_file_in_every_view(make_acme: MakeAcme, acme: Qd, view: str) -> None:
    room = make_acme(target="production/mailer")
    async with room.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await until(pilot, room.fleet_watch.ready.is_set, "the watch to have looked once")
        matrix = room.pane("matrix")
        assert isinstance(matrix, Matrix)
        below = matrix.services[matrix.services.index("mailer") + 1]
        await pilot.press("j", "k", view)  # a place to go back to, which is on it as well
        assert room.place.target == "production/mailer"
        await lose(acme, "mailer")
        await until(pilot, lambda: "mailer is not in the fleet file any more" in room.said, "the word")
        assert room.said.endswith(f": production/{below} is chosen now")
        assert room.place.target == f"production/{below}"
        await pilot.press("escape")
        await pilot.press("1")
        assert f"{below} @ PRODUCTION" in pane_text(room, "card")
        assert "mailer" not in pane_text(room, "matrix")
        assert room.broke is None


async def test_a_card_that_is_open_on_it_changes_nothing_and_closes(make_acme: MakeAcme, acme: Qd) -> None:
    room = make_acme(target="preprod/web")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await until(pilot, room.fleet_watch.ready.is_set, "the watch to have looked once")
        await pilot.press("p")
        await until(pilot, lambda: len(room.screen_stack) == 2, "the card")
        card = next(room.cards())
        await until(pilot, lambda: card.guard.open, "its keys to be alive")
        await lose(acme, "web")
        await until(pilot, lambda: "preprod/web is not in the fleet file" in room.said, "the word")
        with acme.journal() as journal:
            before = journal.head()
        await pilot.press("r")  # resume, of a target that nobody declares any more
        await until(pilot, lambda: "fleet file" in card.said, "the refusal")
        with acme.journal() as journal:
            assert journal.head() == before
        await pilot.press("escape")
        await until(pilot, lambda: len(room.screen_stack) == 1, "the card to close")
