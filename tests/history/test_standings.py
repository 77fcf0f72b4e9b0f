"""How all targets stand, asked for the whole fleet, says what the single questions say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.way_back.leading import leads_back_to
from tests.cli.qd_command import release

ENDS = (
    RolloutState.SUCCEEDED,
    RolloutState.ROLLED_BACK,
    RolloutState.FAILED,
    RolloutState.CANCELLED,
    RolloutState.SUPERSEDED,
)
TARGETS = ("staging/api", "production/api")

rollouts = st.tuples(
    st.sampled_from(TARGETS),
    st.sampled_from((RolloutKind.DEPLOY, RolloutKind.ROLLBACK)),
    st.integers(1, 4),  # version
    st.sampled_from(ENDS),
    st.booleans(),  # judged bad afterwards
    st.booleans(),  # about some hosts only
)


@settings(max_examples=30, deadline=None)
@given(done=st.lists(rollouts, max_size=12), under_way=st.booleans())
def test_it_says_what_the_single_questions_say(
    tmp_path_factory: pytest.TempPathFactory,
    done: list[tuple[str, RolloutKind, int, RolloutState, bool, bool]],
    under_way: bool,
) -> None:
    with Journal.open(tmp_path_factory.mktemp("journal") / "state") as journal:
        for target, kind, version, ends, bad, partial in done:
            made = release(f"v{version}", target=target)
            journal.put_release(made)
            before = journal.current_release(target)
            rollout = journal.arm(
                target,
                kind,
                from_release=before,
                to_release=made.id,
                reason=f"to {version}",
                options={"partial": True} if partial else {},
            )
            if ends is RolloutState.CANCELLED:
                journal.set_state(rollout.id, None, ends, outcome="nobody said go")
            else:
                epoch = journal.begin(rollout.id, preempt="nothing")
                journal.set_state(rollout.id, epoch, ends, outcome=f"so it ended: {ends}")
            if bad:
                journal.judge(made.id, "bad", "it was")
        if under_way:
            coming = journal.arm(TARGETS[0], RolloutKind.DEPLOY, to_release="v9-0123456789")
            journal.begin(coming.id, preempt="nothing")
        standings = journal.standings()
        assert {name: journal.standings([name]).get(name) for name in standings} == standings
        for target in TARGETS:
            if target not in standings:
                assert not journal.rollouts(target)
                continue
            found = standings[target]
            current = journal.current_release(target)
            row = journal.release(current) if current else None
            assert found.current == current
            assert found.version == (row.release.version if row else None)
            assert found.digest == (row.release.artifact.sha256 if row else None)
            try:
                back = journal.release(leads_back_to(journal, target, None))  # as `qd rollback` does
            except Refused:
                back = None
            assert (found.back, found.back_version) == ((back.id, back.release.version) if back else (None, None))
            assert found.active == journal.active(target)
            history = journal.rollouts(target)
            brought = next(
                (r for r in history if r.to_release == current and r.state == "succeeded" and not r.partial), None
            )
            assert found.since == (brought.ended if brought else row.last_good if row else None)
            assert found.reason == (brought.reason if brought else "")
            last = next((r for r in history if r.ended and r.epoch > 0), None)
            assert (found.last.id if found.last else None) == (last.id if last else None)


@pytest.mark.parametrize("kind", [RolloutKind.DEPLOY, RolloutKind.DRILL, RolloutKind.ROLLBACK])
def test_what_failed_half_way_is_finished_first(tmp_path_factory: pytest.TempPathFactory, kind: RolloutKind) -> None:
    """As `qd rollback` does: a deploy, or a drill, that could not be taken back wholly leads back to what was there, a rollback on to where
    it was going."""
    with Journal.open(tmp_path_factory.mktemp("journal") / "state") as journal:
        made = [release(f"v{version}", target=TARGETS[0]) for version in (1, 2, 3)]
        for one in made:
            journal.put_release(one)
        for one in made[:2]:
            rollout = journal.arm(TARGETS[0], RolloutKind.DEPLOY, to_release=one.id)
            journal.set_state(rollout.id, journal.begin(rollout.id, preempt="nothing"), RolloutState.SUCCEEDED)
            journal.judge(one.id, "good", "it ran")
        to = made[2] if kind is RolloutKind.DEPLOY else made[0]
        half = journal.arm(TARGETS[0], kind, from_release=made[1].id, to_release=to.id)
        journal.set_state(half.id, journal.begin(half.id, preempt="nothing"), RolloutState.FAILED)
        found = journal.standings()[TARGETS[0]]
        assert (found.version, found.back_version) == ("v2", "v1" if kind is RolloutKind.ROLLBACK else "v2")
        assert leads_back_to(journal, TARGETS[0], None) == found.back


def test_while_a_deploy_is_under_way_the_way_leads_back_to_what_runs_beside_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Journal.open(tmp_path_factory.mktemp("journal") / "state") as journal:
        made = [release(f"v{version}", target=TARGETS[0]) for version in (1, 2, 3)]
        for one in made:
            journal.put_release(one)
        for one in made[:2]:
            rollout = journal.arm(TARGETS[0], RolloutKind.DEPLOY, to_release=one.id)
            journal.set_state(rollout.id, journal.begin(rollout.id, preempt="nothing"), RolloutState.SUCCEEDED)
            journal.judge(one.id, "good", "it ran")
        canary = journal.arm(TARGETS[0], RolloutKind.DEPLOY, from_release=made[1].id, to_release=made[2].id)
        assert journal.standings()[TARGETS[0]].back_version == "v1"  # it has not begun
        epoch = journal.begin(canary.id, preempt="nothing")
        found = journal.standings()[TARGETS[0]]
        assert (found.version, found.back_version) == ("v2", "v2")
        journal.set_state(canary.id, epoch, RolloutState.ROLLED_BACK)
        assert journal.standings()[TARGETS[0]].back_version == "v1"
