"""Several writes as one: all of them or none, for everybody who reads."""

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState

TARGET = "production/api"


def test_what_is_written_together_is_there_at_once(journal: Journal, other: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    seen: list[RolloutState] = []

    def writes() -> int:
        journal.set_reason(rollout, "hotfix")
        epoch = journal.begin(rollout, preempt="nothing")
        seen.append(other.rollout(rollout).state)
        return epoch

    assert journal.together(writes, rollout=rollout) == 1
    assert seen == [RolloutState.ARMED]  # nobody saw half of it
    now = other.rollout(rollout)
    assert (now.state, now.reason, now.epoch) == (RolloutState.RUNNING, "hotfix", 1)
    kinds = [event.kind for event in other.events(rollout=rollout)]
    assert kinds[-2:] == ["reason", "state"]
    assert not verify(other).faults


def test_when_one_is_refused_none_is_written_and_the_next_one_is_alone_again(journal: Journal, other: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    before = other.head()

    def writes() -> None:
        journal.set_reason(rollout, "hotfix")
        journal.retry_step(rollout, 0, 7)

    with pytest.raises(RequestRefused):
        journal.together(writes, rollout=rollout)
    assert (other.head(), other.rollout(rollout).reason) == (before, "")
    journal.set_reason(rollout, "later")
    assert other.rollout(rollout).reason == "later"


def test_one_within_another_is_a_part_of_it(journal: Journal, other: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    before = other.head()

    def writes() -> None:
        journal.together(lambda: journal.set_reason(rollout, "hotfix"))
        journal.set_reason(rollout, "another")
        assert other.head() == before  # nothing was committed by the inner one, nor by what came after it
        raise RequestRefused("not after all")

    with pytest.raises(RequestRefused):
        journal.together(writes, rollout=rollout)
    assert other.head() == before
