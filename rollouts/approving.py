"""Saying yes or no to a plan that waits for it. Asked for by the command line and the screen alike; roles are enforced here."""

from datetime import UTC, datetime

import msgspec

from quarterdeck.config.model import ApprovalPolicy
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Approval, Operator, Rollout, RolloutState, Step
from quarterdeck.rollouts.approvals import SHOWN_HASH, Tally, is_self, people, tally, wanted_at, wanted_of
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.promoting import asks_people, where_words
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.roles import is_named

LEAST_HASH = 8  # characters of a plan's hash that name it


class Waiting(msgspec.Struct, frozen=True):
    """A rollout that waits for people's words. ``until``: ISO 8601 UTC; ``step``: where it stands, None: it has not begun."""

    rollout: Rollout
    tally: Tally
    until: str | None
    step: Step | None = None

    @property
    def seq(self) -> int:
        """Of the step; 0: it has not begun."""
        return self.step.seq if self.step is not None else 0

    @property
    def words(self) -> str:
        """``waits for 1 approval by @leads until 2026-11-29 23:10Z``, and ``, at step 7 (25 %, 1 of 4 hosts)``."""
        return f"{self.tally.words}{until_words(self.until)}{place_words(self.step)}"


class Said(msgspec.Struct, frozen=True):
    """What came of a word. ``alone``: its worker is dead, and who said it may start none."""

    word: Approval
    waiting: Waiting
    alone: bool


def until_words(until: str | None) -> str:
    return f" until {datetime.fromisoformat(until).astimezone(UTC):%Y-%m-%d %H:%MZ}" if until else ""


def place_words(step: Step | None) -> str:
    """``, at step 7 (25 %, 1 of 4 hosts)``; empty: it has not begun."""
    if step is None:
        return ""
    where = where_words(step.body)
    return f", at step {step.seq} ({where.replace(' (', ', ').removesuffix(')')})"


def waiting_for(journal: Journal, rollout: Rollout) -> Waiting | None:
    """Who is waited for; None: nobody, it does not wait for approvals now."""
    if rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED):
        step = asks_people(journal.steps(rollout.id))
        return standing(journal, rollout, wanted_at(step), step) if step is not None else None
    waiting = agreed_or_waiting(journal, rollout)
    return None if waiting is not None and journal.in_queue(rollout.id) else waiting


def agreed_or_waiting(journal: Journal, rollout: Rollout) -> Waiting | None:
    """Of one that has not begun; also where enough people have agreed, and it waits for its turn: one of them may think better of it."""
    wanted = wanted_of(rollout)
    if wanted is None or rollout.state is not RolloutState.QUEUED:
        return None
    return standing(journal, rollout, wanted)


def standing(journal: Journal, rollout: Rollout, wanted: ApprovalPolicy, step: Step | None = None) -> Waiting:
    """What was said about its plan, or at that step of it."""
    seq = step.seq if step is not None else 0
    told = journal.wanted_approvals(rollout.id, seq) or {}
    return Waiting(rollout, tally(wanted, rollout, journal.approvals(rollout.id), seq), told.get("until"), step)


def approve(control: Control, rollout: int, plan_hash: str = "", reason: str = "", *, step: int | None = None) -> Said:
    """Agrees to the plan, or to going on at ``step`` of it (0: to its beginning). ``plan_hash``: of the plan that was shown (its first
    characters will do). Both empty: whatever it waits for now; a plan alone is its beginning.

    Raises Refused: who may not, one's own rollout, a plan or a step that is not the one that was shown, nothing that waits.
    """
    if step is None and plan_hash:
        step = 0
    return _say(control, rollout, "approved", plan_hash, reason, step)


def reject(control: Control, rollout: int, plan_hash: str = "", reason: str = "", *, step: int | None = None) -> Said:
    """Says no: the rollout ends; what it has changed is taken back. Also of one's own. Raises Refused as ``approve`` does."""
    return _say(control, rollout, "rejected", plan_hash, reason, step)


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


def _say(control: Control, id: int, verdict: str, plan_hash: str, reason: str, step: int | None) -> Said:
    journal = control.journal
    rollout = journal.rollout(id)
    waiting = waiting_for(journal, rollout) or agreed_or_waiting(journal, rollout)
    if waiting is None:
        state = str(rollout.state).replace("_", " ")
        advice = f"its worker died: qd resume {id}" if rollout.state is RolloutState.ORPHANED else ""
        raise Refused(
            f"rollout {id} ({rollout.kind} of {rollout.target}) is {state}: it does not wait for an approval", advice
        )
    if control.read_only:
        raise Refused("this is a read-only session, nothing was changed", "start it again without --read-only")
    if refused := why_not(control.operator, rollout, waiting.tally.wanted, yes=verdict == "approved"):
        raise Refused(*refused.split("; ", 1))
    shown = plan_hash or rollout.plan_hash
    if len(shown) < LEAST_HASH or not rollout.plan_hash.startswith(shown):
        raise Refused(
            f"the plan of rollout {id} is {rollout.plan_hash[:SHOWN_HASH]}, not {shown[:SHOWN_HASH]}",
            "it has changed since it was shown: look at it again",
        )
    if step not in (None, waiting.seq):
        here = f"at step {waiting.seq}" if waiting.seq else "to begin"
        meant = f"step {step}" if step else "its beginning"
        raise Refused(
            f"rollout {id} waits {here} now, and this is about {meant}",
            f"look at it again: qd show {id}; there is --step for what it stands at",
        )
    try:
        word = journal.give_word(id, rollout.plan_hash, verdict, reason, step=waiting.seq)
    except RequestRefused as error:
        raise Refused(error.why) from None
    alone = not control.wake(id)
    return Said(word, standing(journal, journal.rollout(id), waiting.tally.wanted, waiting.step), alone)
