"""Practising a rollback: asked for by the command line and the control room alike. Roles and policy are enforced here; what only hosts can
know is the worker's.

A drill is a rollout that puts the last good release back, as a rollback would, and takes itself back when that has been observed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from quarterdeck.config.drills import Drills, is_due, why_no_drill
from quarterdeck.config.model import Fleet, Target
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Drilled, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.frozen import frozen_now
from quarterdeck.rollouts.refusals import Refused, busy

KIND = RolloutKind.DRILL


class DrillStanding(msgspec.Struct, frozen=True):
    """How a target stands with its drills. ``refused``: why there may be none, empty: there may; ``last``: the last good one; ``tried``:
    when one last began, whatever came of it (ISO 8601 UTC); ``due``: whether `qd drill --due` would begin one now."""

    target: str
    declared: Drills
    refused: str
    last: Drilled | None
    tried: str | None
    due: bool


def arm_drill(
    control: Control, target: str, *, reason: str = "", skip_hooks: bool = False, detached_go: bool = False
) -> Rollout:
    """A drill, journalled as armed, with its worker started. ``skip_hooks``: also where a rollback would run commands, which a drill never
    does.

    Raises UnknownTarget, Refused: role, an environment that has none, a freeze, a rollout under way, nothing to go back to.
    """
    declared = control.permitted(target)
    if why := why_not(control.fleet, control.journal, declared, datetime.now(UTC)):
        raise Refused(why, "nothing was changed")
    active = control.under_way(target)
    if active is not None:
        raise Refused(busy(active), "a drill waits for nobody: try it again later")
    current = control.journal.current_release(target)
    row = control.journal.release(current) if current is not None else None
    if row is None:
        raise Refused(f"nothing runs on {target} that could be rolled back", f"see: qd releases {target}")
    last = control.journal.last_begun(target, other_than=0)
    if last is not None and last.state is RolloutState.FAILED:
        raise Refused(
            f"rollout {last.id} of {target} failed half-way: a drill needs a target that is whole", f"qd show {last.id}"
        )
    back = control.journal.last_good(target, other_than=current)
    if back is None:
        raise Refused(
            f"{target} has no earlier release that worked: there is no rollback to practise",
            f"see: qd releases {target}",
        )
    environment = control.fleet.environments[declared.environment]
    options = {"skip_hooks": skip_hooks, "go": detached_go, "probe": environment.drills.probe}
    return control.arm_kind(declared, KIND, reason, options, to_release=back.id)


def why_not(fleet: Fleet, journal: Journal, target: Target, at: datetime) -> str:
    """Why no drill may begin there at that moment, by what was declared; empty: it may."""
    environment = fleet.environments[target.environment]
    order = {name: one.after for name, one in fleet.environments.items()}
    if why := why_no_drill(environment.name, environment.drills, order):
        return f"no drill of {target.name}: {why}"
    frozen = frozen_now(journal, environment.name, environment.freezes, at)
    if frozen is not None:
        return f"no drill of {target.name}: {environment.name} is frozen {frozen.words}"
    return ""


def standings(fleet: Fleet, journal: Journal, targets: Sequence[str], at: datetime) -> list[DrillStanding]:
    """Of each of these targets, in their order."""
    found = []
    for name in targets:
        target = fleet.targets[name]
        declared = fleet.environments[target.environment].drills
        tried = journal.drill_begun(name)
        last = datetime.fromisoformat(tried) if tried else None
        refused = why_not(fleet, journal, target, at)
        found.append(DrillStanding(name, declared, refused, journal.drilled(name), tried, is_due(declared, last, at)))
    return found


def value(standing: DrillStanding) -> dict[str, Any]:
    """As JSON."""
    last = standing.last
    return {
        "target": standing.target,
        "last": msgspec.to_builtins(last) if last is not None else None,
        "tried": standing.tried,
        "every": standing.declared.every,
        "at": standing.declared.at.words if standing.declared.at is not None else None,
        "zone": standing.declared.zone,
        "due": standing.due,
        "refused": standing.refused or None,
    }
