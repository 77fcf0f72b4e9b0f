"""The whole difference between two releases, by key and by command."""

from quarterdeck.tui.room.cards.reading import ReadingCard
from quarterdeck.tui.room.overview.matrix import columns_for
from quarterdeck.tui.room.rows import plain
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until


async def test_d_shows_what_the_way_back_changes_and_a_command_compares_any_two(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(room.screen, ReadingCard), "the card")
        assert isinstance(room.screen, ReadingCard)
        text = "\n".join(plain(line) for line in room.screen.rows)
        assert "- GREETING: hello from v1" in text
        assert "+ GREETING: hello from v2" in text
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(room.screen, ReadingCard), "the card to close")
        await room.action_act("diff", ("production/api", "v2", "v3"))
        await until(pilot, lambda: isinstance(room.screen, ReadingCard), "the other card")
        await pilot.press("escape")
        await room.action_act("diff", ("production/api", "v2", "v33"))
        assert "no release 'v33'" in room.said
        assert "v3" in room.said


def test_the_columns_of_a_wide_matrix_are_the_operators_own() -> None:
    wide = columns_for(200, ["api"], ["dev", "production"], None, ["hosts", "health"])
    assert [title for title, _ in wide.more] == ["HOSTS", "HEALTH"]
    assert [title for title, _ in columns_for(200, ["api"], ["dev", "production"], None, []).more] == []
