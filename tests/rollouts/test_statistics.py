"""What is counted from rollouts: how often, how often badly, how long until it was well again."""

from datetime import UTC, datetime
from typing import Any

from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.statistics import statistics

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def rollout(id: int, kind: str, state: str, start: str, end: str, target: str = "production/api") -> Rollout:
    values: dict[str, Any] = dict.fromkeys(("from_release", "to_release", "plan", "pid"))
    return Rollout(
        id=id,
        target=target,
        kind=RolloutKind(kind),
        state=RolloutState(state),
        epoch=id,
        plan_hash="",
        options={},
        requested_by="alice",
        uid=1,
        reason="",
        created=start,
        started=start,
        ended=end,
        outcome="",
        **values,
    )


def test_a_deploy_that_was_rolled_back_later_counts_as_bad_and_the_outage_ends_with_the_rollback() -> None:
    found = statistics(
        [
            rollout(1, "deploy", "succeeded", "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z"),
            rollout(2, "deploy", "succeeded", "2026-11-24T10:00:00Z", "2026-11-24T10:01:00Z"),
            rollout(3, "rollback", "succeeded", "2026-11-24T10:05:00Z", "2026-11-24T10:05:30Z"),
        ],
        NOW,
    )
    assert found.deploys == 2
    assert found.failure_rate == 0.5
    assert [day.bad for day in found.days][-2:] == [0, 1]
    assert [one.seconds for one in found.restored] == [270.0]


def test_one_that_came_back_by_itself_is_bad_and_restored_by_its_own_end() -> None:
    found = statistics([rollout(1, "deploy", "rolled_back", "2026-11-24T10:00:00Z", "2026-11-24T10:00:40Z")], NOW)
    assert found.failure_rate == 1.0
    assert found.median_restore == 40.0


def test_other_targets_and_old_days_are_kept_apart() -> None:
    found = statistics(
        [
            rollout(1, "deploy", "succeeded", "2026-09-01T10:00:00Z", "2026-09-01T10:00:40Z"),
            rollout(2, "deploy", "succeeded", "2026-11-24T10:00:00Z", "2026-11-24T10:00:40Z", "staging/api"),
            rollout(3, "rollback", "succeeded", "2026-11-24T11:00:00Z", "2026-11-24T11:00:10Z", "production/web"),
        ],
        NOW,
        days=7,
    )
    assert found.deploys == 1
    assert found.failure_rate == 0.0
    assert len(found.days) == 7
    assert [one.seconds for one in found.restored] == [10.0]  # counted from when it began: what it left is not known


def test_nothing_is_nothing_and_not_zero() -> None:
    found = statistics([], NOW)
    assert found.failure_rate is None
    assert found.median_restore is None
