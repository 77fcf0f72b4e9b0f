"""The whole difference between two releases, by key and by command."""

from pathlib import Path

from quarterdeck.tui.room.cards.reading import ReadingCard
from quarterdeck.tui.room.overview.matrix import columns_for
from quarterdeck.tui.room.rows import plain
from tests.cli.qd_command import Qd
from tests.repository import RealRepository
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


async def test_the_commits_between_two_releases_come_when_git_has_answered(
    filled: Qd, make_room: MakeRoom, tmp_path: Path
) -> None:
    repository = RealRepository(tmp_path / "server")
    for version, subject in (("v1", "Serve"), ("v2", "Greet in more words"), ("v3", "Greet everybody")):
        repository.commit(subject, tag=version)
    text = filled.fleet_file.read_text()
    assert "  api:\n" in text
    filled.fleet_file.write_text(text.replace("  api:\n", f"  api:\n    source: {{git: {repository.path}}}\n"))
    room = make_room(target="production/api")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await room.action_act("diff", ("production/api", "v1", "v3"))

        def words() -> str:
            return "\n".join(plain(line) for line in room.screen.rows) if isinstance(room.screen, ReadingCard) else ""

        await until(pilot, lambda: "commits (" in words(), "the commits")
        assert "Greet everybody (maya, 2026-11-29)" in words()
        assert "Greet in more words" in words()
        assert "Serve" not in words()
        assert "+ GREETING" in words(), "the difference stays"
    room = make_room(target="production/api", read_only=True)
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await room.action_act("diff", ("production/api", "v1", "v3"))
        await until(pilot, lambda: "git is not asked with --read-only" in words(), "why not")


async def test_two_environments_are_compared_from_the_drift_view_and_by_a_command_at_80x24(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("6")
        await until(pilot, lambda: "c compares environments" in pane_text(room, "drift"), "the drift view")
        await pilot.press("c")
        await until(pilot, lambda: isinstance(room.screen, ReadingCard), "the card")
        assert isinstance(room.screen, ReadingCard)
        assert room.screen.heading == "environments  staging -> production  api"
        text = "\n".join(plain(line) for line in room.screen.rows)
        assert "production runs v2-" in text
        assert "staging runs nothing" in text
        assert all(len(plain(line)) <= 76 for line in room.screen.rows)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(room.screen, ReadingCard), "the card to close")
        await room.action_act("env-diff", ("staging", "production"))
        await until(pilot, lambda: isinstance(room.screen, ReadingCard), "the card of all services")
        text = "\n".join(plain(line) for line in room.screen.rows)
        assert "+ after: staging" in text
        assert "web" in text
        await pilot.press("G")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(room.screen, ReadingCard), "it to close too")
        await room.action_act("env-diff", ("staging",))
        assert "takes two environments" in room.said
