"""What a post-mortem is made of, as frozen values."""

import msgspec

from quarterdeck.history.records import Approval, Event, ReleaseRow, Rollout, Step
from quarterdeck.rollouts.differences.releases import Difference


class HostOutcome(msgspec.Struct, frozen=True):
    """``state``: changed, taken_back, unchanged, failed, unreachable or owed. ``release``: what it ran when the rollout had ended, as
    far as its steps tell. ``seconds``: from its first step to its last."""

    host: str
    state: str
    release: str | None = None
    seconds: float | None = None
    error: str = ""


class Point(msgspec.Struct, frozen=True):
    """One measurement. A side without a number is None; ``error``: the source could not measure."""

    time: str
    canary: float | None = None
    baseline: float | None = None
    error: str = ""


class MetricEvidence(msgspec.Struct, frozen=True):
    """A metric of one step: what was measured, what was agreed, what it came to. ``state``: measuring, or its verdict. ``success`` and
    ``failure``: conditions as the fleet file writes them."""

    step: int
    name: str
    state: str
    why: str
    measured: int
    count: int | None
    failed: int
    errors: int
    failure_limit: int
    interval: float
    dry_run: bool = False
    compare: str | None = None
    success: str | None = None
    failure: str | None = None
    canary: str = ""
    baseline: str = ""
    points: tuple[Point, ...] = ()
    left_out: int = 0  # points before those that are here


class Linked(msgspec.Struct, frozen=True):
    """Another rollout of the target, and how long after the trouble can have begun it had made it well. ``seconds``: None: not known."""

    rollout: int
    kind: str
    state: str
    by: str
    reason: str
    requested: str
    ended: str | None
    release: str | None
    seconds: float | None = None


class Sign(msgspec.Struct, frozen=True):
    """What showed first that something was wrong. ``seconds``: after ``since``."""

    time: str
    since: str
    seconds: float
    what: str


class LogText(msgspec.Struct, frozen=True):
    time: str | None
    host: str
    text: str


class Logs(msgspec.Struct, frozen=True):
    """Lines around the change. ``said``: of each host that gave none, or not all, why; and of all of them, where none were asked for."""

    lines: tuple[LogText, ...] = ()
    said: tuple[str, ...] = ()
    limit: int = 0  # lines of a host


class PostMortem(msgspec.Struct, frozen=True):
    """``events``: the rollout's and those around it, in their order, without measurements; ``left_out``: more of them than are here.
    ``restored_by``: the later rollout that made well what this one had broken; ``restores``: those that this one made well.
    ``exit_status``: None while it goes on."""

    rollout: Rollout
    exit_status: int | None
    around: float
    hosts: tuple[HostOutcome, ...]
    steps: tuple[Step, ...]
    events: tuple[Event, ...]
    left_out: int = 0
    approvals: tuple[Approval, ...] = ()
    metrics: tuple[MetricEvidence, ...] = ()
    before: ReleaseRow | None = None
    after: ReleaseRow | None = None
    difference: Difference | None = None
    detected: Sign | None = None
    restored_seconds: float | None = None
    restored_by: Linked | None = None
    restores: tuple[Linked, ...] = ()
    logs: Logs | None = None
