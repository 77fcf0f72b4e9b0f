"""One rollout looked at closely: steps, hosts, wishes, worker and events as one frozen value, made from the journal alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import (
    ENDED,
    Debt,
    Event,
    Request,
    Rollout,
    RolloutKind,
    RolloutState,
    Step,
    StepState,
    Worker,
)
from quarterdeck.rollouts.picture.metrics import metrics_seen
from quarterdeck.rollouts.picture.rollout import MOVES
from quarterdeck.rollouts.plans.flags import switched_off
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.promoting import ALONE, asks_people, pauses_left, stands_at, waits_in
from quarterdeck.rollouts.version_words import version_of

if TYPE_CHECKING:
    from quarterdeck.rollouts.measured import MetricSeen

MOST_EVENTS = 300


UNKNOWN = "?"  # what ran on a host that could not be asked


class HostMove(msgspec.Struct, frozen=True):
    """A host of the rollout. ``before``: what it ran when the plan was made, or UNKNOWN; ``state``: of the step that moves it.

    ``back``: that step takes the host back, ``before`` is what the rollout had put there.
    """

    host: str
    before: str | None
    after: str | None
    state: StepState | None = None  # None: nothing is to be done there
    error: str | None = None
    back: bool = False


class Closely(msgspec.Struct, frozen=True):
    """``alive``: a process holds the rollout's lock now. ``events``: the newest ones, oldest first."""

    rollout: Rollout
    from_version: str | None
    to_version: str | None
    steps: tuple[Step, ...] = ()
    requests: tuple[Request, ...] = ()
    events: tuple[Event, ...] = ()
    hosts: tuple[HostMove, ...] = ()
    debts: tuple[Debt, ...] = ()
    worker: Worker | None = None
    alive: bool = False
    cause: str = ""  # why it ended, in the worker's word
    metrics: tuple["MetricSeen", ...] = ()  # of the step that measured last
    ways: tuple[str, ...] = ()  # where it stands still: what can be asked of it
    flag_off: Event | None = None  # its flag was switched off by hand

    @property
    def plan(self) -> Mapping[str, Any]:
        return self.rollout.plan if isinstance(self.rollout.plan, dict) else {}

    @property
    def ended(self) -> bool:
        return self.rollout.state in ENDED

    @property
    def stands_at(self) -> Step | None:
        """The first step that failed and was not passed over: what a rollout that asks is asking about."""
        return stands_at(self.steps)

    @property
    def under_way(self) -> Step | None:
        """The newest step that has begun: what a wish is aimed at, so that one that comes late is known as late."""
        begun = [s for s in self.steps if s.state is not StepState.PENDING]
        return begun[-1] if begun else (self.steps[0] if self.steps else None)


def look_closely(journal: Journal, id: int) -> Closely:
    """Raises UnknownRollout, JournalError."""
    rollout = journal.rollout(id)
    steps = tuple(journal.steps(id))
    events = tuple(reversed(journal.events(rollout=id, limit=MOST_EVENTS, newest_first=True)))
    wanted = rollout.to_release or (str(rollout.options.get("version") or "") or None)
    ends = [e for e in events if e.kind == "state"]
    return Closely(
        rollout,
        version_of(rollout.from_release),
        version_of(wanted),
        steps=steps,
        requests=tuple(journal.requests(id)),
        events=events,
        hosts=_hosts(rollout, steps),
        debts=tuple(debt for debt in journal.debts(rollout.target) if debt.rollout == id),
        worker=journal.worker(id),
        alive=lock_is_held(journal.state, id),
        cause=str(ends[-1].body.get("cause", "")) if ends else "",
        metrics=metrics_seen(journal, rollout, steps),
        ways=tuple(ends[-1].body.get("ways") or ()) if ends else (),
        flag_off=switched_off(journal, rollout, steps),
    )


def _hosts(rollout: Rollout, steps: tuple[Step, ...]) -> tuple[HostMove, ...]:
    moves = {step.host: step for step in steps if step.action in MOVES}
    plan = rollout.plan if isinstance(rollout.plan, dict) else {}
    last = max((step.seq for step in steps if step.action == Action.FINISH), default=None)  # of the plan itself
    found = []
    for item in plan.get("hosts") or ():
        name = str(item["host"])
        step = moves.get(name)
        after = None if step is None or step.action == Action.WITHDRAW else str(step.body.get("release") or "") or None
        back = step is not None and last is not None and step.seq > last
        error = str(step.outcome.get("error") or "") if step is not None else ""
        unknown = bool(item.get("error")) and not item.get("current")
        found.append(
            HostMove(
                name,
                version_of(rollout.to_release if back else item.get("current")) if back or not unknown else UNKNOWN,
                version_of(after or (rollout.to_release if step is None else None)),
                step.state if step is not None else None,
                error or (None if step is not None and step.state is StepState.DONE else item.get("error")),
                back,
            )
        )
    return tuple(found)


class WayOn(msgspec.Struct, frozen=True):
    """One thing that can be asked of a rollout now. ``does``: what will happen, in words; ``step``: what it is aimed at."""

    kind: str  # resume | retry | skip | promote
    does: str
    step: int | None = None
    full: bool = False  # a promotion that leaves out the pauses to come


def ways_on(seen: Closely) -> tuple[tuple[WayOn, ...], str]:
    """What makes sense to ask of a rollout that stands still, the most usual first; and why nothing, where nothing does."""
    rollout = seen.rollout
    failed = seen.stands_at
    match rollout.state:
        case RolloutState.PAUSED if failed is not None:
            hosts = len({s.host for s in seen.steps if s.state is StepState.FAILED and s.action != Action.FINISH})
            again = (
                WayOn(
                    "retry", f"tries {failed.action} on {failed.host} again{_others(hosts)}, then goes on", failed.seq
                ),
            )
            if failed.action == Action.APPROVAL:
                return again, ""  # what nobody agreed to is not passed over
            alone = failed.action in ALONE
            left = "nothing else is left out" if alone else "that host is left as it is, and owed"
            return (*again, WayOn("skip", f"goes on without {failed.action} on {failed.host}: {left}", failed.seq)), ""
        case RolloutState.RUNNING | RolloutState.PAUSED if asks := asks_people(seen.steps):
            return (), f"people must agree to step {asks.seq} first: a, or qd approve {rollout.id}"
        case RolloutState.RUNNING | RolloutState.BAKING | RolloutState.PAUSED if seen.alive and (
            waits := waits_in(seen.steps)
        ):
            return _promotions(seen, waits), ""
        case RolloutState.PAUSED:
            return (WayOn("resume", f"goes on with {_steps_left(seen.steps)}"),), ""
        case RolloutState.ORPHANED:
            return (
                WayOn("resume", "starts a new worker, which asks every host what it runs before it does anything"),
            ), ""
        case state if state not in ENDED and state is not RolloutState.ARMED and not seen.alive:
            return (WayOn("resume", "starts a new worker: nobody works on it now"),), ""
        case RolloutState.QUEUED:
            return (), f"rollout {rollout.id} {rollout.outcome or 'waits'}"
        case RolloutState.SUCCEEDED if not seen.debts:
            return (), f"rollout {rollout.id} has succeeded: nothing is left to do"
        case state if state in ENDED and rollout.kind is RolloutKind.DRILL:
            return (), f"rollout {rollout.id} was a drill: :drill practises it once more"
        case RolloutState.ROLLED_BACK if not seen.debts and rollout.kind is RolloutKind.DEPLOY:
            return (), f"rollout {rollout.id} was taken back: deploy it again with D"
        case state if state in ENDED and state not in (RolloutState.CANCELLED, RolloutState.SUPERSEDED):
            if seen.debts:
                names = " ".join(debt.host for debt in seen.debts)
                return (WayOn("retry", f"a new rollout brings {names} to what the others run"),), ""
            if rollout.kind is RolloutKind.ROLLBACK:
                return (WayOn("retry", f"a new rollback to {seen.to_version} on all its hosts"),), ""
            return (WayOn("retry", f"a new deploy of {seen.to_version}, from the start"),), ""
        case _:
            return (), f"rollout {rollout.id} is {str(rollout.state).replace('_', ' ')}: it does not wait for anybody"


def _promotions(seen: Closely, waits: Step) -> tuple[WayOn, ...]:
    if "resume" in seen.ways:  # an operator has stopped it in the middle of it
        return (WayOn("resume", f"goes on with the {waits.action}, whose time has run on"),)
    ends = (
        f"goes on without a verdict of the {waits.action},"
        if "retry" in seen.ways
        else f"ends the {waits.action} now, goes on"
    )
    ways = [WayOn("promote", f"{ends} with {_steps_left(seen.steps)}", waits.seq)]
    if "retry" in seen.ways:
        ways.append(WayOn("retry", "measures it again, from the beginning", waits.seq))
    if (later := pauses_left(seen.steps) - (waits.action == Action.PAUSE)) > 0:
        does = f"does the same, and leaves out {'the pause' if later == 1 else f'the {later} pauses'} to come"
        ways.append(WayOn("promote", does, waits.seq, full=True))
    return tuple(ways)


def _steps_left(steps: tuple[Step, ...]) -> str:
    """In words: those that have not ended."""
    left = sum(step.state in (StepState.PENDING, StepState.STARTED) for step in steps)
    match left:
        case 0:
            return "its end: no step is left" if steps else "its plan"
        case 1:
            return "the step that is left"
        case _:
            return f"the {left} steps that are left"


def _others(hosts: int) -> str:
    return f" (and on {hosts - 1} more)" if hosts > 1 else ""
