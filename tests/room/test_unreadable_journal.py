"""A journal that can't be read says nothing, and the room does not take that for an empty one."""

import shutil

from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until


async def test_what_can_t_be_read_is_not_said_to_be_empty(filled: Qd, make_room: MakeRoom) -> None:
    [journal] = filled.state.glob("*.db")
    shutil.move(journal, filled.directory / "kept.db")
    for beside in filled.state.glob("*.db-*"):
        beside.unlink()
    journal.write_bytes(b"no journal at all " * 1000)
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "JOURNAL" in pane_text(room, "header"), "the fault")
        for pane in ("matrix", "card", "rollouts"):
            assert "can't be read" in pane_text(room, pane)
        for lie in ("nothing was ever released", "no rollout yet", "closed"):
            assert lie not in "".join(pane_text(room, pane) for pane in ("matrix", "card", "rollouts"))
        await pilot.press("2")
        await until(pilot, lambda: "can't be read" in pane_text(room, "rollout-list"), "the same of the rollouts")
        await pilot.press("1")
        shutil.move(filled.directory / "kept.db", journal)
        await until(pilot, lambda: "v2" in pane_text(room, "card"), "it to recover by itself")
        assert "JOURNAL" not in pane_text(room, "header")
