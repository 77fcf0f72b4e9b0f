"""Whether an action may be done here and now, in words for the screen. A convenience only: what counts is refused below, by
the Control that carries it out. Pure."""

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.roles import may_approve, may_change
from quarterdeck.tui.room.actions import Action
from quarterdeck.tui.room.boxes import SMALLEST, big_enough


class Standing(msgspec.Struct, frozen=True):
    """Who sits there. ``may_change``: by the fleet file's roles; ``may_approve``: somewhere; ``read_only``: started so."""

    operator: Operator
    may_change: bool
    read_only: bool = False
    may_approve: bool = False

    @property
    def role(self) -> str:
        """For the header: what this person may do in this session."""
        if self.read_only:
            return "read-only"
        return "operator" if self.may_change else "approver" if self.may_approve else "viewer"


def standing(fleet: Fleet, operator: Operator, *, read_only: bool) -> Standing:
    return Standing(operator, may_change(fleet.operators, operator), read_only, may_approve(fleet, operator))


def refusal(action: Action, standing: Standing, size: tuple[int, int]) -> str:
    """Why ``action`` can't be done, as one sentence; empty: it can."""
    if not action.changes:
        return ""
    if standing.read_only:
        return f"{action.title}: this session is read-only; start qd without --read-only to change something"
    if not standing.may_change and not (action.id == "approve" and standing.may_approve):
        return f"{action.title}: {standing.operator.name} may not change anything; operators.deploy in the fleet file says who may"
    if not big_enough(*size):
        return (
            f"{action.title}: the terminal is too small to show what would change; it needs {SMALLEST[0]}x{SMALLEST[1]}"
        )
    return ""
