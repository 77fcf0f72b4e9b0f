"""Freezing an environment by hand, and ending that. Asked for by the command line; roles are enforced here."""

import difflib
from datetime import UTC, datetime

from quarterdeck.config.freezes import Freeze
from quarterdeck.history.records import MadeFreeze
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.frozen import by_hand, frozen_now, iso
from quarterdeck.rollouts.refusals import Refused, UnknownPart


def freeze(control: Control, environment: str, until: datetime | None, reason: str) -> MadeFreeze:
    """No release goes out there from now on, until ``until`` or until somebody ends it; what is under way goes on.

    Raises Refused (role, no reason, a time that is over), UnknownPart for an environment that there is not.
    """
    control.allow_change()
    _known(control, environment)
    if not reason.strip():
        raise Refused("a freeze needs a reason", "give it with --reason")
    if until is not None and until <= datetime.now(UTC):
        raise Refused(f"{iso(until)} is over", "a freeze ends later than now")
    return control.journal.freeze(environment, iso(until), reason)


def end_freezes(control: Control, environment: str, reason: str = "") -> list[MadeFreeze]:
    """Ends all that was frozen there by hand. Raises Refused (role, nothing is), UnknownPart."""
    control.allow_change()
    declared = _known(control, environment)
    now = datetime.now(UTC)
    held = [w for w in by_hand(control.journal.made_freezes(environment), environment) if w.holds(now)]
    ended = [control.journal.end_freeze(window.by_hand, reason) for window in held if window.by_hand is not None]
    if not ended:
        frozen = frozen_now(control.journal, environment, declared)
        if frozen is not None:
            raise Refused(
                f"the fleet file freezes {environment} {frozen.words}",
                "it ends by itself; for one deploy: --override freeze --reason …",
            )
        raise Refused(f"nobody has frozen {environment}", "see: qd freeze")
    return ended


def _known(control: Control, environment: str) -> tuple[Freeze, ...]:
    declared = control.fleet.environments.get(environment)
    if declared is None:
        near = difflib.get_close_matches(environment, list(control.fleet.environments), n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(control.fleet.environments)}"
        raise UnknownPart(f"there is no environment {environment!r} in the fleet file", hint)
    return declared.freezes
