"""Saying yes or no to a plan that waits for it. Asked for by the command line and the screen alike; roles are enforced here."""

from datetime import UTC, datetime

import msgspec

from quarterdeck.config.model import ApprovalPolicy
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Approval, Operator, Rollout, RolloutState
from quarterdeck.rollouts.approvals import SHOWN_HASH, Tally, is_self, people, tally, wanted_of
from quarterdeck.rollouts.control import Control, Refused
from quarterdeck.rollouts.roles import is_named

LEAST_HASH = 8  # characters of a plan's hash that name it


class Waiting(msgspec.Struct, frozen=True):
    """A rollout that waits for people's words. ``until``: ISO 8601 UTC."""

    rollout: Rollout
    tally: Tally
    until: str | None

    @property
    def words(self) -> str:
        """``waits for 1 approval by @leads until 2026-11-29 23:10Z``."""
        return f"{self.tally.words}{until_words(self.until)}"


class Said(msgspec.Struct, frozen=True):
    """What came of a word. ``alone``: its worker is dead, and who said it may start none."""

    word: Approval
    waiting: Waiting
    alone: bool


def until_words(until: str | None) -> str:
    return f" until {datetime.fromisoformat(until).astimezone(UTC):%Y-%m-%d %H:%MZ}" if until else ""


def waiting_for(journal: Journal, rollout: Rollout) -> Waiting | None:
    """Who is waited for; None: nobody, it does not wait for approvals now."""
    wanted = wanted_of(rollout)
    if wanted is None or rollout.state is not RolloutState.QUEUED:
        return None
    return _standing(journal, rollout, wanted)


def approve(control: Control, rollout: int, plan_hash: str = "", reason: str = "") -> Said:
    """Agrees to the plan. ``plan_hash``: of the one that was shown (its first characters will do); empty: whichever it has.

    Raises Refused: who may not, one's own rollout, a plan that has changed since, nothing that waits.
    """
    return _say(control, rollout, "approved", plan_hash, reason)


def reject(control: Control, rollout: int, plan_hash: str = "", reason: str = "") -> Said:
    """Says no: the rollout ends, nothing was changed. Also of one's own. Raises Refused as ``approve`` does."""
    return _say(control, rollout, "rejected", plan_hash, reason)


def why_not(operator: Operator, rollout: Rollout, wanted: ApprovalPolicy, *, yes: bool) -> str:
    """Why this operator's word is not taken; empty: it is. ``yes``: whether the word is an approval."""
    if wanted.who is not None and not is_named(operator, wanted.who):
        who = f"that is for {people(wanted)}"
        return f"{operator.name} may not approve or reject rollout {rollout.id} of {rollout.target}; {who}"
    if yes and wanted.prevent_self_review and is_self(rollout, operator.uid, operator.person):
        return (
            f"rollout {rollout.id} was asked for by {rollout.requested_by}: nobody approves what they asked for; "
            f"somebody else can ({people(wanted)}), from an account of their own"
        )
    return ""


def _say(control: Control, id: int, verdict: str, plan_hash: str, reason: str) -> Said:
    journal = control.journal
    rollout = journal.rollout(id)
    wanted = wanted_of(rollout)
    if wanted is None or rollout.state is not RolloutState.QUEUED:
        state = str(rollout.state).replace("_", " ")
        raise Refused(f"rollout {id} ({rollout.kind} of {rollout.target}) is {state}: it does not wait for an approval")
    if control.read_only:
        raise Refused("this is a read-only session, nothing was changed", "start it again without --read-only")
    if refused := why_not(control.operator, rollout, wanted, yes=verdict == "approved"):
        raise Refused(*refused.split("; ", 1))
    shown = plan_hash or rollout.plan_hash
    if len(shown) < LEAST_HASH or not rollout.plan_hash.startswith(shown):
        raise Refused(
            f"the plan of rollout {id} is {rollout.plan_hash[:SHOWN_HASH]}, not {shown[:SHOWN_HASH]}",
            "it has changed since it was shown: look at it again",
        )
    try:
        word = journal.give_word(id, rollout.plan_hash, verdict, reason)
    except RequestRefused as error:
        raise Refused(error.why) from None
    alone = not control.wake(id)
    return Said(word, _standing(journal, journal.rollout(id), wanted), alone)


def _standing(journal: Journal, rollout: Rollout, wanted: ApprovalPolicy) -> Waiting:
    told = journal.wanted_approvals(rollout.id) or {}
    return Waiting(rollout, tally(wanted, rollout, journal.approvals(rollout.id)), told.get("until"))
