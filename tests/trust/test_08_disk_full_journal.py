"""Promise 8: a full disk on the bastion corrupts nothing, is told in clear words, and leaves room for a rollback.

Seen to fail without the reserve: the rollback finds no room, in the same process and in a new one.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.history import audit, store
from quarterdeck.history.errors import JournalFull
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, RolloutKind, RolloutState, StepState
from quarterdeck.history.reserve import Reserve
from tests.requirements_here import need
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(8), pytest.mark.root]

TARGET = "production/api"
HOSTS = 50


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real ext4 file system of 16 MB."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    need(shutil.which("mkfs.ext4") is not None, "mkfs.ext4 (package e2fsprogs)")
    image, mount = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(mount)], capture_output=True, text=True, check=False
    )
    need(mounted.returncode == 0, f"loop devices: {mounted.stderr.strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def fill(disk: Path) -> Path:
    """Takes every last block."""
    filler = disk / f"filler-{len(list(disk.glob('filler-*')))}"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, b"x" * size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return filler


def running_deploy(journal: Journal) -> tuple[int, int]:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY, to_release="v2", from_release="v1").id
    return rollout, journal.begin(rollout, preempt="nothing")


def until_full(journal: Journal) -> int:
    """Writes notes until one is refused; returns how many were not."""
    written = 0

    def write_on() -> None:
        nonlocal written
        for number in range(10_000):
            journal.note(f"note {number} " + "x" * 2000)
            written += 1

    with pytest.raises(JournalFull, match=r"^no room on the disk of the journal \(.+nothing recorded before is lost"):
        write_on()
    return written


def roll_back(journal: Journal) -> int:
    """What a rollback on fifty hosts writes down."""
    rollout = journal.arm(TARGET, RolloutKind.ROLLBACK, to_release="v1", from_release="v2").id
    steps = [NewStep(seq, f"web-{seq}", "switch", 0, {"release": "v1"}) for seq in range(HOSTS)]
    journal.set_plan(rollout, {"summary": "50 of 50 hosts change"}, "hash", to_release="v1", from_release="v2")
    journal.set_worker(rollout, os.getpid(), 1, "boot")
    epoch = journal.begin(rollout, preempt="deploys")
    journal.add_steps(rollout, epoch, steps)
    for step in steps:
        journal.start_steps(rollout, epoch, [step.seq])
        journal.heartbeat(rollout)
        journal.end_step(rollout, epoch, step.seq, StepState.DONE, {"seconds": 0.2})
    journal.set_state(rollout, epoch, RolloutState.SUCCEEDED)
    return rollout


def assert_sound(journal: Journal) -> None:
    assert journal.integrity_faults() == []
    assert audit.verify(journal).faults == []


def test_a_rollback_still_runs_and_writing_goes_on_once_there_is_room(
    disk: Path, monkeypatch: pytest.MonkeyPatch, promise: Promises
) -> None:
    state = disk / "state"
    monkeypatch.setattr(store, "RESTORE_SECONDS", 0.0)
    with Journal.open(state) as journal, Journal.open(state) as screen:
        deploy, epoch = running_deploy(journal)
        filler = fill(disk)
        written = until_full(journal)
        with pytest.raises(JournalFull):
            journal.arm(TARGET, RolloutKind.DEPLOY, reason="x" * 20_000)
        journal.set_state(deploy, epoch, RolloutState.PAUSED)  # what has happened is always written down
        rollout = roll_back(journal)
        assert screen.rollout(rollout).state == RolloutState.SUCCEEDED
        assert screen.rollout(deploy).state == RolloutState.SUPERSEDED
        assert [step.state for step in screen.steps(rollout)] == [StepState.DONE] * HOSTS
        assert len(screen.events(kind="note", limit=20_000)) == written
        assert_sound(screen)
        os.unlink(filler)
        journal.note("there is room again")
        assert Reserve(journal._place).whole(), "the reserve is put aside anew"
    promise(8).count("disks filled")


def test_a_rollback_by_a_new_process_needs_no_room_either(disk: Path, promise: Promises) -> None:
    """When the last one closes the journal its WAL is gone: the next one needs room merely to open it."""
    state = disk / "state"
    with Journal.open(state) as journal:
        running_deploy(journal)
    filler = fill(disk)
    with Journal.open(state) as journal:
        rollout = roll_back(journal)
    with Journal.open(state) as journal:
        assert journal.rollout(rollout).state == RolloutState.SUCCEEDED
        assert_sound(journal)
    os.unlink(filler)
    with Journal.open(state) as journal:
        journal.note("there is room again")
        assert Reserve(journal._place).whole()
    promise(8).count("disks filled")


def test_a_disk_that_fills_up_again_and_again_corrupts_nothing(disk: Path, promise: Promises) -> None:
    state = disk / "state"
    for _ in range(3):
        with Journal.open(state) as journal:
            filler = fill(disk)
            until_full(journal)
            more = fill(disk)  # also what a failed write had given back
            with pytest.raises(JournalFull):
                journal.record("no", body={"pad": "x" * 200_000})
            assert_sound(journal)
            os.unlink(filler)
            os.unlink(more)
            journal.note("yes")
            assert_sound(journal)
        promise(8).count("disks filled")
