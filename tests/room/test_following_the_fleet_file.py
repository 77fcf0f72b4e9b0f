"""Whoever follows the fleet file hears of every change in the end, also of one that is saved while the one before is being read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quarterdeck.config.load import load_with_files
from quarterdeck.config.model import Fleet
from quarterdeck.tui.room import reload
from quarterdeck.tui.room.reload import FleetFile, FleetWatch
from tests.cli.qd_command import Qd
from tests.room.test_previews_in_the_room import declare
from tests.sshd import wait_for


@contextmanager
def followed(qd: Qd) -> Iterator[list[FleetFile]]:
    """What is told of its fleet file, from now on."""
    told: list[FleetFile] = []
    watch = FleetWatch(qd.fleet_file, told.append, load_with_files(qd.fleet_file)[1])
    watch.start()
    try:
        assert watch.ready.wait(30)
        yield told
    finally:
        watch.close()


def saved_once_it_is_read(monkeypatch: pytest.MonkeyPatch, save: Callable[[], object]) -> None:
    """Has the first reading be followed by ``save`` at once, as when somebody saves again in that very moment."""
    first = [save]

    def load(path: Path) -> tuple[Fleet, tuple[Path, ...]]:
        found = load_with_files(path)
        while first:
            first.pop()()
        return found

    monkeypatch.setattr(reload, "load_with_files", load)


def test_what_is_saved_while_it_is_read_is_read_too(filled: Qd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail where the file's look was taken after the reading."""
    text = filled.fleet_file.read_text()
    saved_once_it_is_read(monkeypatch, lambda: filled.fleet_file.write_text(text.replace("/srv/web", "/srv/second")))
    with followed(filled) as told:
        filled.fleet_file.write_text(text.replace("/srv/web", "/srv/first"))

        def second() -> bool:
            fleet = told[-1].fleet if told else None
            return fleet is not None and fleet.targets["production/web"].path == "/srv/second"

        wait_for(second, "the second change", 30)


def test_a_file_that_came_with_the_change_and_is_saved_again_while_it_is_read(
    filled: Qd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knew how it looked before. Seen to fail where its look was taken after the reading."""
    first, second = (datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) for days in (1, 2))
    declare(filled, first, "pr-6").unlink()  # the path that it needs, and the directory, are there before
    saved_once_it_is_read(
        monkeypatch, lambda: (filled.state / "previews" / "pr-7.yml").write_text(_until(filled, second))
    )
    with followed(filled) as told:
        declare(filled, first)

        def extended() -> bool:
            fleet = told[-1].fleet if told else None
            return fleet is not None and (fleet.environments["pr-7"].until or "")[:19] == second.isoformat()[:19]

        wait_for(extended, "the preview with its second lifetime", 30)


def _until(qd: Qd, moment: datetime) -> str:
    file = qd.state / "previews" / "pr-7.yml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("until:")]
    return "\n".join([*lines, f"until: {moment.isoformat()}", ""])
