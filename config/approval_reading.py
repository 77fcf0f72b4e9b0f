"""The keys of an approval: of an environment, before a deploy begins there, and of a canary's step, before more hosts follow."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config.kinds import BOOLEAN, COUNT, PERSON, SOME_TIME
from quarterdeck.config.model import ApprovalPolicy, Approve, OnTimeout
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Choice, Key, Keys, ListOf


def _reachable(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """Whether as many people are named as must agree; how many are in a group is not known here."""
    who, count = values.get("who"), values.get("count", 1)
    if who is None or any(name.startswith("@") for name in who) or count <= len(who):
        return True
    problems.add(node.value("count"), f"{count} must agree, and only {len(who)} may")
    return False


def _keys(counted: str, over: str) -> tuple[Key, ...]:
    """``counted``: what so many must agree to; ``over``: what happens when they have not in time."""
    return (
        Key("count", COUNT, f"How many people must agree {counted}.", default="1"),
        Key(
            "from",
            ListOf(PERSON, "a list of users and @groups", least=1, distinct=True),
            "Who may. Without it: who `operators.approve` names, else everybody.",
            field="who",
        ),
        Key("prevent_self_review", BOOLEAN, "Whether it must be others than who asked for it.", default="true"),
        Key("timeout", SOME_TIME, f"How long it is waited for; then {over}.", default="8h"),
    )


def _approve(on_timeout: OnTimeout = OnTimeout.ABORT, **policy: Any) -> Approve:
    return Approve(ApprovalPolicy(**policy), on_timeout)


APPROVALS = Keys(
    "the approvals", _keys("to a deploy's plan", "the deploy is cancelled"), make=ApprovalPolicy, check=_reachable
)
APPROVAL = Keys(
    "an approval",
    (
        *_keys("before it goes on", "`on_timeout` says what happens"),
        Key(
            "on_timeout",
            Choice(tuple(OnTimeout), OnTimeout),
            "What happens when nobody agreed in time: abort takes the release back, promote goes on without them.",
            default="abort",
        ),
    ),
    make=_approve,
    check=_reachable,
)
