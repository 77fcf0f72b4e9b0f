"""Whether enough people have agreed to a plan, and who is waited for. Pure: it is told what was said, and by whom.

A word counts for the very plan that it was said about, and for the step of it at which the rollout stood. A person counts once, and so
does an account: the login behind sudo can be made up where the kernel keeps none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.config.model import ApprovalPolicy, Approve, OnTimeout, Target
from quarterdeck.history.records import Approval, Rollout, RolloutKind, Step

SHOWN_HASH = 12  # characters of a plan's hash that are shown, and typed


class Tally(msgspec.Struct, frozen=True):
    """``given``: the words that count, in their order; ``rejected``: the first no."""

    wanted: ApprovalPolicy
    given: tuple[Approval, ...]
    rejected: Approval | None = None

    @property
    def missing(self) -> int:
        return max(self.wanted.count - len(self.given), 0)

    @property
    def words(self) -> str:
        """``waits for 1 more approval by @leads (approved by maya)``."""
        count = self.missing
        more = "more " if self.given else ""
        who = f" by {people(self.wanted)}" if self.wanted.who is not None else ""
        given = f" (approved by {', '.join(one.person for one in self.given)})" if self.given else ""
        return f"waits for {count} {more}approval{'s' if count != 1 else ''}{who}{given}"


def people(wanted: ApprovalPolicy) -> str:
    """Who may say it: ``@leads or maya``."""
    return " or ".join(wanted.who) if wanted.who else "anybody"


def wanted_of(rollout: Rollout) -> ApprovalPolicy | None:
    """What it has to wait for, as its environment said when it was armed; None: nothing. A rollback never waits."""
    told = rollout.options.get("approvals")
    if rollout.kind is not RolloutKind.DEPLOY or not told:
        return None
    return msgspec.convert(told, ApprovalPolicy)


def wanted_at(step: Step) -> ApprovalPolicy:
    """What an approval step of a plan waits for."""
    return msgspec.convert(step.body["approval"], ApprovalPolicy)


def policy_value(wanted: ApprovalPolicy) -> dict[str, Any]:
    """As a plan and the journal hold it; ``timeout`` in seconds."""
    who = list(wanted.who) if wanted.who is not None else None
    return {
        "count": wanted.count,
        "from": who,
        "prevent_self_review": wanted.prevent_self_review,
        "timeout": wanted.timeout,
    }


def step_body(step: Approve) -> dict[str, Any]:
    """As the plan holds it, so that its hash tells who had to agree."""
    told = {"on_timeout": str(step.on_timeout)} if step.on_timeout is not OnTimeout.ABORT else {}
    return {"approval": policy_value(step.policy), **told}


def with_approvers(target: Target, approvers: tuple[str, ...] | None) -> Target:
    """As a rollout carries it. Where an approval step names nobody, it is for ``approvers``, those of the whole fleet."""

    def named(step: Approve) -> Approve:
        policy = msgspec.structs.replace(step.policy, who=approvers)
        return msgspec.structs.replace(step, policy=policy)

    steps = tuple(
        named(step) if isinstance(step, Approve) and step.policy.who is None else step for step in target.strategy.steps
    )
    return msgspec.structs.replace(target, strategy=msgspec.structs.replace(target.strategy, steps=steps))


def is_self(rollout: Rollout, uid: int, person: str) -> bool:
    """Whether that is who asked for the rollout."""
    return uid == rollout.uid or person == rollout.options.get("person")


def tally(wanted: ApprovalPolicy, rollout: Rollout, words: Sequence[Approval], step: int = 0) -> Tally:
    """What was said about the plan that ``rollout`` has now, at that step (0: before it begins)."""
    about = [word for word in words if word.plan_hash == rollout.plan_hash and word.step == step]
    given: list[Approval] = []
    for word in about:
        if word.verdict != "approved" or (wanted.prevent_self_review and is_self(rollout, word.uid, word.person)):
            continue
        if not any(one.uid == word.uid or one.person == word.person for one in given):
            given.append(word)
    return Tally(wanted, tuple(given), next((word for word in about if word.verdict == "rejected"), None))


def tally_value(told: Tally, rollout: Rollout, until: str | None, step: int | None = None) -> dict[str, Any]:
    """As JSON. ``until``: when it is not waited for any longer; ``step``: where it stands, None: it has not begun."""
    return {
        "step": step,
        "count": told.wanted.count,
        "from": list(told.wanted.who) if told.wanted.who is not None else None,
        "prevent_self_review": told.wanted.prevent_self_review,
        "given": [_word_value(word) for word in told.given],
        "rejected": _word_value(told.rejected) if told.rejected is not None else None,
        "missing": told.missing,
        "until": until,
        "plan_hash": rollout.plan_hash,
    }


def _word_value(word: Approval) -> Mapping[str, Any]:
    return {"by": word.by, "time": word.time, "reason": word.reason}
