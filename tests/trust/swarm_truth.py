"""What the trust tests on a Swarm ask after each rollout: the end, the Swarm's own tasks, the journal."""

from collections.abc import Mapping

from quarterdeck.history.audit import verify
from quarterdeck.history.records import Rollout, RolloutState
from tests.swarm_fleet import SwarmFleet
from tests.trust.recording import Recorder
from tests.trust.ssh_truth import Head

REPLICAS = 3
OTHER: Mapping[str, str] = {"1": "2", "2": "1"}
"""The version that is not this one."""
TAKEN_BACK = (RolloutState.ROLLED_BACK, RolloutState.CANCELLED)


def all_of(version: str, replicas: int = REPLICAS) -> list[str]:
    return [version] * replicas


def assert_ended(
    harbour: SwarmFleet,
    ended: Rollout,
    state: RolloutState,
    version: str,
    heads: list[Head],
    kept: Recorder,
    replicas: int = REPLICAS,
) -> None:
    """It has that state, and every task is of that version."""
    versions, right = harbour.versions(), all_of(version, replicas)
    kept.none("wrong ends", (ended.state, versions) != (state, right))
    assert ended.state is state, ended.outcome
    assert versions == right
    harbour.quiet(ended.id)
    assert_whole(harbour, heads, kept)


def assert_whole(harbour: SwarmFleet, heads: list[Head], kept: Recorder) -> None:
    """The journal has lost nothing that had been written; nothing in the Swarm is nobody's."""
    with harbour.journal(read_only=True) as journal:
        report = verify(journal, heads)
    kept.none("lost events", len(report.faults))
    assert report.ok, report.faults
    assert harbour.strays() == []


def tasks_since(harbour: SwarmFleet, before: Mapping[str, str], version: str) -> int:
    """How many tasks of ``version`` Swarm has made since it had those ``before``."""
    return sum(its == version for id, its in harbour.every_task().items() if id not in before)


def told_since(harbour: SwarmFleet, before: Mapping[str, str], version: str) -> list[tuple[str, str]]:
    """The same tasks: the state of each, and what its node said of it."""
    made = {id for id, its in harbour.every_task().items() if its == version and id not in before}
    statuses = [one["Status"] for one in harbour.swarm.any_api.tasks() if one["ID"] in made]
    return [(one["State"], one.get("Err") or one.get("Message", "")) for one in statuses]
