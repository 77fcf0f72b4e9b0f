"""Whose words count, and who is waited for."""

from typing import Any

from quarterdeck.config.model import ApprovalPolicy
from quarterdeck.history.records import Approval, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.approvals import tally, wanted_of

PLAN, OTHER = "a" * 64, "b" * 64


def rollout(kind: RolloutKind = RolloutKind.DEPLOY, **options: Any) -> Rollout:
    told = {"person": "lena", "approvals": {"count": 2, "from": ["@leads"], "timeout": 60.0}, **options}
    return Rollout(
        7,
        "production/web",
        kind,
        None,
        None,
        RolloutState.QUEUED,
        0,
        {},
        PLAN,
        told,
        "lena@bastion",
        1000,
        "",
        "2026-11-29T12:00:00Z",
        None,
        None,
        "",
        None,
    )


def word(person: str, uid: int, verdict: str = "approved", plan: str = PLAN, step: int = 0) -> Approval:
    return Approval(uid, 7, plan, verdict, person, f"{person}@bastion", uid, "2026-11-29T12:00:00Z", "", step)


def given(*words: Approval, **policy: Any) -> list[str]:
    return [one.person for one in tally(ApprovalPolicy(**policy), rollout(), words).given]


def test_a_person_counts_once_and_so_does_an_account() -> None:
    assert given(word("maya", 1001), word("omar", 1002)) == ["maya", "omar"]
    assert given(word("maya", 1001), word("maya", 0)) == ["maya"], "the same login, behind sudo"
    assert given(word("maya", 1001), word("omar", 1001)) == ["maya"], "a login that was made up, or a shared account"


def test_who_asked_for_it_does_not_count() -> None:
    assert given(word("lena", 0), word("maya", 1000), word("omar", 1002)) == ["omar"], "by login, and by account"
    assert given(word("lena", 1000), prevent_self_review=False) == ["lena"]


def test_a_word_about_another_plan_does_not_count() -> None:
    told = tally(ApprovalPolicy(count=2), rollout(), [word("maya", 1001, plan=OTHER), word("omar", 1002)])
    assert [one.person for one in told.given] == ["omar"]
    assert told.missing == 1
    assert tally(ApprovalPolicy(), rollout(), [word("maya", 1001, "rejected", OTHER)]).rejected is None


def test_a_word_counts_at_the_step_it_was_said_at() -> None:
    words = [word("maya", 1001), word("omar", 1002, step=4), word("eve", 1003, "rejected", step=9)]
    at = {step: tally(ApprovalPolicy(), rollout(), words, step) for step in (0, 4, 7)}
    assert [[one.person for one in told.given] for told in at.values()] == [["maya"], ["omar"], []]
    assert [told.rejected for told in at.values()] == [None] * 3


def test_one_no_is_enough() -> None:
    told = tally(ApprovalPolicy(), rollout(), [word("maya", 1001), word("omar", 1002, "rejected")])
    assert told.rejected is not None
    assert told.rejected.person == "omar"


def test_who_is_waited_for_is_said_in_words() -> None:
    leads = ApprovalPolicy(count=2, who=("@leads", "maya"))
    assert tally(leads, rollout(), []).words == "waits for 2 approvals by @leads or maya"
    assert (
        tally(leads, rollout(), [word("omar", 1)]).words
        == "waits for 1 more approval by @leads or maya (approved by omar)"
    )
    assert tally(ApprovalPolicy(), rollout(), []).words == "waits for 1 approval"


def test_only_a_deploy_waits() -> None:
    assert wanted_of(rollout()) == ApprovalPolicy(count=2, who=("@leads",), timeout=60.0)
    assert wanted_of(rollout(RolloutKind.ROLLBACK)) is None
    assert wanted_of(rollout(approvals=None)) is None
