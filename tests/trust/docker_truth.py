"""What the trust tests on Docker engines ask after each rollout: the end, the engines, the journal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.rollouts.control import Control
from tests.docker_fleet import DockerField
from tests.driver import Driver
from tests.sshd import wait_for
from tests.trust.recording import Recorder
from tests.trust.ssh_truth import DYING, Head


@contextmanager
def dying(patch: pytest.MonkeyPatch, how: str, died: Path) -> Iterator[None]:
    """Workers that are started within do as ``how`` says: see dying/sitecustomize.py."""
    died.unlink(missing_ok=True)
    with patch.context() as inner:
        inner.setenv("PYTHONPATH", str(DYING))
        inner.setenv("QD_TEST_DIES", how)
        inner.setenv("QD_TEST_DIED", str(died))
        yield


def resume(driver: Driver, rollout: int) -> Head:
    """A new worker, as soon as the killed one is gone: its lock is free then. Gives what the dead one had written last."""
    wait_for(
        lambda: not lock_is_held(driver.state, rollout), "the dead worker's lock is free", 15
    )  # who is killed while the disk writes for it dies after that
    with driver.journal() as journal:
        head: Head = ("the killed worker", *journal.head())
        if journal.rollout(rollout).state not in ENDED:
            Control(driver.fleet(), journal, current_operator()).resume(rollout)
    return head


def assert_right(docks: DockerField, rollout: int, version: str, heads: list[Head], kept: Recorder) -> None:
    ended = docks.ended(rollout)
    right = ended.state is RolloutState.SUCCEEDED and docks.running() == docks.everywhere(version)
    kept.none("wrong ends", not right)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert docks.running() == docks.everywhere(version)
    docks.quiet(rollout)
    assert_whole(docks, heads, kept)


def assert_whole(docks: DockerField, heads: list[Head], kept: Recorder) -> None:
    """The journal has lost nothing that had been written; nothing on the engines is nobody's."""
    with docks.journal(read_only=True) as journal:
        report = verify(journal, heads)
    kept.none("lost events", len(report.faults))
    assert report.ok, report.faults
    assert docks.strays() == []


def starts_on_each(docks: DockerField, since: float) -> list[int]:
    """How many containers each engine has started since then, by its own events. A killed worker ends no call to an engine: there is no
    excuse for more than one a rollout."""
    return [len(docks.starts(engine, since)) for engine in docks.engines]
