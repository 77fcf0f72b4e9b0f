"""A rollback that has put everything back can say so, on a disk without a byte of room."""

from pathlib import Path

import pytest

from quarterdeck.history.errors import JournalFull
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation, RolloutKind
from tests.trust.test_08_disk_full_journal import TARGET, disk, fill

__all__ = ["disk"]  # a fixture

pytestmark = pytest.mark.root


def test_what_a_rollback_saw_finds_room_in_the_reserve(disk: Path) -> None:
    with Journal.open(disk / "state") as journal:
        rollback = journal.arm(TARGET, RolloutKind.ROLLBACK, to_release="v1").id
        journal.begin(rollback, preempt="nothing")
        seen = [
            Observation(TARGET, f"web-{n}", "", "v1", "v1", "healthy", None, {"kept": ["v" * 200] * 20})
            for n in range(50)
        ]
        fill(disk)
        with pytest.raises(JournalFull):
            journal.observe(seen * 50)  # one commit that the room in the WAL can't hold
        journal.observe(seen, rollback)
        assert len(journal.observations(TARGET)) == 50
