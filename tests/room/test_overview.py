"""The overview on a filled journal, and on a real terminal."""

from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal


async def test_the_matrix_shows_what_runs_and_the_cursor_stays_on_its_target(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "v2 in the matrix")
        matrix = pane_text(room, "matrix")
        assert "[" in next(line for line in matrix.splitlines() if line.startswith(">api"))
        await pilot.press("k")  # the paused one is on top: sorted by risk
        assert room.place.target == "production/web"
        await pilot.press("j", "left")
        assert room.place.target == "staging/api"


def test_a_real_terminal_shows_it_and_q_leaves(filled: Qd) -> None:
    with Terminal(filled.command("--fleet", str(filled.fleet_file)), environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.wait_for("v2")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
