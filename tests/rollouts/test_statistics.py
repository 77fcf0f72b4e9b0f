"""What is counted from rollouts: how often, how often badly, how long until it was well again."""

from datetime import UTC, datetime, timedelta

import pytest

from quarterdeck.history.records import Change, RolloutKind, RolloutState
from quarterdeck.rollouts.four_keys import BY, FEW, FourKeys, four_keys, notes
from quarterdeck.rollouts.statistics import Failure, judged, median, percentile, statistics

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def rollout(
    id: int,
    kind: str,
    state: str,
    start: str,
    end: str,
    target: str = "production/api",
    to: str | None = None,
) -> Change:
    """``to``: a version; a deploy brings one of its own without it, a rollback brings what nobody knows."""
    version = to or (f"v{id}" if kind == "deploy" else None)
    release = f"{version}-0123456789" if version else None
    return Change(id, target, RolloutKind(kind), RolloutState(state), None, release, start, end, id)


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


def at(day: int, hour: int = 10, minute: int = 0) -> str:
    return f"2026-11-{day:02d}T{hour:02d}:{minute:02d}:00Z"


def keys(*changes: Change, by: str | None = None, days: int = 28) -> FourKeys:
    return four_keys(judged(changes), NOW - timedelta(days=days), NOW, by=by)


def failures(*changes: Change) -> list[Failure | None]:
    return [one.failure for one in judged(changes).deployments]


def test_a_rollback_counts_against_a_deploy_for_a_day_and_is_a_restore_of_its_own_later() -> None:
    first = rollout(1, "deploy", "succeeded", at(1), at(1, 10, 1), to="v1")
    second = rollout(2, "deploy", "succeeded", at(20), at(20, 10, 1), to="v2")
    soon = rollout(3, "rollback", "succeeded", at(21, 9), at(21, 9, 2), to="v1")
    late = rollout(3, "rollback", "succeeded", at(22), at(22, 10, 2), to="v1")
    assert failures(first, second, soon) == [None, Failure.ROLLED_BACK]
    assert failures(first, second, late) == [None, None]
    assert [(one.of, one.seconds) for one in judged([first, second, late]).restored] == [(None, 120.0)]
    assert judged([first, second, late], within=timedelta(days=3)).deployments[1].failure is Failure.ROLLED_BACK


def test_going_forward_again_by_a_rollback_makes_nothing_a_failure() -> None:
    changes = [
        rollout(1, "deploy", "succeeded", at(24, 8), at(24, 8, 1), to="v1"),
        rollout(2, "deploy", "succeeded", at(24, 9), at(24, 9, 1), to="v2"),
        rollout(3, "rollback", "succeeded", at(24, 9, 10), at(24, 9, 11), to="v1"),
        rollout(4, "rollback", "succeeded", at(24, 9, 20), at(24, 9, 21), to="v2"),
    ]
    assert failures(*changes) == [None, Failure.ROLLED_BACK]
    assert [one.rollout for one in judged(changes).restored] == [3]


def test_what_failed_is_restored_by_whatever_succeeds_next_there() -> None:
    changes = [
        rollout(1, "deploy", "failed", at(24, 8), at(24, 8, 1)),
        rollout(2, "deploy", "succeeded", at(24, 8, 5), at(24, 8, 6), "staging/api"),
        rollout(3, "deploy", "succeeded", at(24, 8, 30), at(24, 8, 31)),
    ]
    assert failures(*changes) == [Failure.NOT_TAKEN_BACK, None, None]
    assert [(one.rollout, one.of, one.seconds) for one in judged(changes).restored] == [(3, 1, 31 * 60.0)]


def test_a_deploy_that_a_rollback_overtook_had_failed_and_one_that_a_deploy_overtook_does_not_count() -> None:
    overtaken = rollout(1, "deploy", "superseded", at(24, 8), at(24, 8, 1))
    back = rollout(2, "rollback", "succeeded", at(24, 8, 1), at(24, 8, 2), to="v0")
    forward = rollout(2, "deploy", "succeeded", at(24, 8, 1), at(24, 8, 2))
    assert failures(overtaken, back) == [Failure.ROLLED_BACK]
    assert [one.seconds for one in judged([overtaken, back]).restored] == [120.0]
    assert failures(overtaken, forward) == [None]


@pytest.mark.parametrize(("kind", "state"), [("drill", "succeeded"), ("deploy", "cancelled"), ("flag", "failed")])
def test_drills_flags_and_what_was_cancelled_do_not_count(kind: str, state: str) -> None:
    found = keys(rollout(1, kind, state, at(24, 8), at(24, 8, 1)))
    assert (found.total.deployments, found.total.failure_rate, found.total.restore.count) == (0, None, 0)


def test_lead_time_is_told_from_the_commit_else_from_the_first_deploy_elsewhere_else_not_at_all() -> None:
    changes = [
        rollout(1, "deploy", "succeeded", at(20), at(20, 10, 1), "staging/api", to="v7"),
        rollout(2, "deploy", "succeeded", at(22), at(22, 10, 1), to="v7"),
        rollout(3, "deploy", "succeeded", at(23), at(23, 10, 1), to="v8"),
        rollout(4, "deploy", "succeeded", at(23, 11), at(23, 11, 1), to="v7"),  # there before: no news
    ]
    found = four_keys(judged(changes).only(["production/api"]), NOW - timedelta(days=28), NOW).total
    assert (found.lead.count, found.lead.median) == (1, 2 * 86400.0 + 60)
    assert (found.lead_from_commit, found.lead_from_first_deploy, found.lead_unknown) == (0, 1, 1)
    commits = {"v8-0123456789": datetime(2026, 11, 23, 9, tzinfo=UTC)}
    known = judged(changes, commits=commits).only(["production/api"])
    found = four_keys(known, NOW - timedelta(days=28), NOW).total
    assert (found.lead_from_commit, found.lead_unknown) == (1, 0)
    assert min(one.lead.seconds for one in known.deployments if one.lead) == 3660.0


@pytest.mark.parametrize("by", BY)
def test_groups_add_up_and_weeks_have_no_gap(by: str) -> None:
    changes = [
        rollout(n, "deploy", "succeeded", at(n), at(n, 10, 1), "production/api" if n % 2 else "staging/web")
        for n in range(1, 24)
        if not 9 <= n <= 15
    ]
    found = keys(*changes, by=by)
    assert sum(group.deployments for group in found.groups) == found.total.deployments == 16
    names = [group.name for group in found.groups]
    expected = {
        "week": ["2026-W44", "2026-W45", "2026-W46", "2026-W47", "2026-W48"],
        "month": ["2026-11"],
        "service": ["api", "web"],
        "environment": ["production", "staging"],
    }
    assert names == expected[by]
    if by == "week":
        assert found.groups[2].deployments == 0
        assert found.groups[2].failure_rate is None


def test_what_there_is_too_little_to_tell_from_is_not_told() -> None:
    nothing = keys()
    assert (nothing.total.per_week, nothing.total.failure_rate, nothing.total.restore.median) == (None, None, None)
    assert "nothing was deployed yet" in notes(nothing, 24)[0]
    few = keys(*(rollout(n, "deploy", "rolled_back", at(20, n), at(20, n, 1)) for n in range(1, FEW)))
    assert (few.total.restore.median, few.total.restore.p90, few.total.few) == (60.0, None, True)
    enough = keys(*(rollout(n, "deploy", "rolled_back", at(20, n), at(20, n, n)) for n in range(1, FEW + 1)))
    assert (enough.total.restore.p90, enough.total.few) == (540.0, False)
    assert any("9 deployments only" in note for note in notes(few, 24))


def test_the_time_before_the_journal_began_is_no_time_without_deploys() -> None:
    found = keys(*(rollout(n, "deploy", "succeeded", at(10 + n), at(10 + n, 11)) for n in range(14)), days=90)
    assert found.total.days == pytest.approx(14.083, abs=0.01)
    assert found.total.per_week == pytest.approx(7.0, abs=0.1)


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    [one] = judged([rollout(1, "deploy", "rolled_back", at(24, 10), at(24, 9))]).restored
    assert one.seconds == 0.0
    assert judged([rollout(1, "deploy", "succeeded", "yesterday", at(24, 9))]).deployments == ()


def test_medians_and_percentiles() -> None:
    assert median([]) is None
    assert percentile([], 0.9) is None
    assert median([3, 1]) == 2.0
    assert percentile(list(range(1, 11)), 0.9) == 9
