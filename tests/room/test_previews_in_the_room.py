"""A preview in the control room: its column comes and goes by itself, says when its lifetime is over, and production stays production."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from quarterdeck.config.load import load_fleet
from quarterdeck.tui.room.fleet_cache import recall, remember
from quarterdeck.tui.room.reload import FleetFile, FleetWatch
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.sshd import wait_for

PREVIEW = """\
from: staging
hosts: [stg-1]
services: [api]
made: 2026-11-01T10:00:00Z
by: alice@bastion-2
until: {until}
"""


def declare(qd: Qd, until: datetime, name: str = "pr-7") -> Path:
    """As ``qd env clone`` does, on a host and a path of its own."""
    qd.fleet_file.write_text(qd.fleet_file.read_text().replace("path: /srv/api", "path: /srv/{environment}/api"))
    directory = qd.state / "previews"
    directory.mkdir(exist_ok=True)
    file = directory / f"{name}.yml"
    draft = directory / ".draft"
    draft.write_text(PREVIEW.format(until=until.isoformat()))
    draft.rename(file)
    return file


async def test_its_column_comes_and_goes_by_itself(filled: Qd, make_room: MakeRoom) -> None:
    filled.fleet_file.write_text(
        filled.fleet_file.read_text().replace("path: /srv/api", "path: /srv/{environment}/api")
    )
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        assert "PR-7" not in pane_text(room, "matrix")
        await until(pilot, room.fleet_watch.ready.is_set, "the watch to have looked once")
        file = declare(filled, datetime.now(UTC) + timedelta(days=3))
        await until(pilot, lambda: "PR-7" in pane_text(room, "matrix"), "the new column")
        head = pane_text(room, "matrix").splitlines()
        titles = next(line for line in head if "SERVICE" in line)
        assert titles.index("PR-7") < titles.index("STAGING") < titles.index("PROD"), "production is the last, as ever"
        assert "OVER" not in titles
        assert room.picture.production == "production"
        declare(filled, datetime.now(UTC) - timedelta(hours=1))
        await until(pilot, lambda: "PR-7 OVER" in pane_text(room, "matrix"), "that it is over")
        file.unlink()
        await until(pilot, lambda: "PR-7" not in pane_text(room, "matrix"), "the column to go")


def test_the_first_paint_knows_it_too(filled: Qd, tmp_path: Path) -> None:
    declare(filled, datetime.now(UTC) - timedelta(hours=1))
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    remember(load_fleet(filled.fleet_file), "dark", environment)
    known = recall(filled.fleet_file, environment)
    assert known is not None
    assert list(known.environments) == ["pr-7", "staging", "production"]
    assert known.environments["pr-7"].until
    declare(filled, datetime.now(UTC), "pr-8")
    assert recall(filled.fleet_file, environment) is None, "what was remembered is not how it is any more"


def test_whoever_follows_the_fleet_file_is_told_of_a_new_preview(filled: Qd) -> None:
    filled.fleet_file.write_text(
        filled.fleet_file.read_text().replace("path: /srv/api", "path: /srv/{environment}/api")
    )
    told: list[FleetFile] = []
    watch = FleetWatch(filled.fleet_file, told.append)
    watch.start()
    try:
        assert watch.ready.wait(30)
        declare(filled, datetime.now(UTC) + timedelta(days=1))
        wait_for(
            lambda: told and told[-1].fleet is not None and "pr-7" in told[-1].fleet.environments, "the preview", 30
        )
    finally:
        watch.close()
