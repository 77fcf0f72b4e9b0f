"""The rows of the journal as frozen values. Times are ISO 8601 UTC strings for people; order is given by numbers only."""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from quarterdeck.config.release import Release


class RolloutKind(StrEnum):
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    RESTART = "restart"
    DRILL = "drill"
    FLAG = "flag"


class RolloutState(StrEnum):
    ARMED = "armed"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    BAKING = "baking"
    ABORTING = "aborting"
    ROLLING_BACK = "rolling_back"
    ORPHANED = "orphaned"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def words(self) -> str:
        """For people: ``rolled back``."""
        return self.value.replace("_", " ")


ENDED = frozenset(
    {
        RolloutState.SUCCEEDED,
        RolloutState.ROLLED_BACK,
        RolloutState.FAILED,
        RolloutState.CANCELLED,
        RolloutState.SUPERSEDED,
    }
)
ACTIVE = frozenset(RolloutState) - ENDED - {RolloutState.ARMED}  # at most one rollout of a target is in one of these


class StepState(StrEnum):
    PENDING = "pending"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Operator(msgspec.Struct, frozen=True):
    """Who acts. ``login`` is the real login behind sudo, where there is one; ``where`` the machine, and where from."""

    name: str
    uid: int
    login: str | None = None
    where: str = ""

    @property
    def label(self) -> str:
        """``alice@bastion-2``: the person as far as known, and the machine's name."""
        machine = self.where.split(" ", 1)[0]
        person = self.login or self.name
        return f"{person}@{machine}" if machine else person

    @property
    def person(self) -> str:
        """Who it is, whatever account is used."""
        return self.login or self.name


class Working(msgspec.Struct, frozen=True):
    """As much of a rollout as writing about its steps needs: nothing that grows with its hosts."""

    id: int
    target: str
    state: RolloutState
    epoch: int
    plan_hash: str


class Rollout(msgspec.Struct, frozen=True):
    """A target on its way from one release to another. ``outcome`` is the sentence why it ended or stands still."""

    id: int
    target: str
    kind: RolloutKind
    from_release: str | None
    to_release: str | None
    state: RolloutState
    epoch: int
    plan: Any
    plan_hash: str
    options: dict[str, Any]
    requested_by: str
    uid: int
    reason: str
    created: str
    started: str | None
    ended: str | None
    outcome: str
    pid: int | None

    @property
    def removes(self) -> bool:
        """Whether it brought no release: its target, of a preview, was stopped and removed."""
        return self.options.get("removes") is True

    @property
    def partial(self) -> bool:
        """Whether it is about some hosts of the target only: whatever comes of it, the target as a whole runs what it ran."""
        return self.options.get("partial") is True


class HalfWay(msgspec.Struct, frozen=True):
    """A rollout after which its target was not whole, without its plan and options."""

    id: int
    kind: RolloutKind
    state: RolloutState
    from_release: str | None
    to_release: str | None


class Ended(msgspec.Struct, frozen=True):
    """What is told of a rollout that has ended, without its plan and options."""

    id: int
    target: str
    kind: RolloutKind
    state: RolloutState
    from_release: str | None
    to_release: str | None
    requested_by: str
    reason: str
    started: str | None
    ended: str | None
    outcome: str
    seq: int = 0  # the event that ended it


class Change(msgspec.Struct, frozen=True, gc=False):  # tens of thousands, and nothing in one leads back to it
    """A rollout that began and has ended, as statistics count it. ``seq``: the event that ended it: the order of all of them."""

    id: int
    target: str
    kind: RolloutKind
    state: RolloutState
    from_release: str | None
    to_release: str | None
    started: str
    ended: str
    seq: int


class Drilled(msgspec.Struct, frozen=True):
    """A drill that went well. ``seconds``: until the release before served everywhere, healthy; ``checked``, ``failed``: how often it was
    asked how the service is, in both directions, and how often that was answered badly or by nobody; ``ended``: ISO 8601 UTC."""

    rollout: int
    ended: str
    seconds: float
    checked: int
    failed: int


class Standing(msgspec.Struct, frozen=True):
    """How a target stands. ``since``, ``by``, ``reason``: of the rollout that brought what runs; ``back``: the release that was
    good last before it; ``back_seconds``: how long going back usually took; ``last``: the rollout that ended last; ``drill``: the
    last one in which going back was practised with success."""

    target: str
    current: str | None = None
    version: str | None = None
    digest: str | None = None
    since: str | None = None
    by: str | None = None
    reason: str = ""
    back: str | None = None
    back_version: str | None = None
    back_seconds: float | None = None
    last: Ended | None = None
    active: Rollout | None = None
    drill: Drilled | None = None


class Worker(msgspec.Struct, frozen=True):
    """The process that works on a rollout. ``heartbeat`` is nanoseconds of CLOCK_BOOTTIME, of the boot ``boot_id``."""

    rollout: int
    pid: int
    start_ticks: int
    boot_id: str
    heartbeat: int


class NewStep(msgspec.Struct, frozen=True):
    """A step to be added to a rollout: what to do is in ``body``."""

    seq: int
    host: str
    action: str
    batch: int
    body: dict[str, Any]


class Step(msgspec.Struct, frozen=True):
    """``op_id`` is unique for ever and the same for every attempt, until an operator asks for another try."""

    rollout: int
    seq: int
    host: str
    action: str
    batch: int
    body: dict[str, Any]
    op_id: str
    state: StepState
    attempt: int
    epoch: int
    outcome: dict[str, Any]
    started: str | None
    ended: str | None


class Request(msgspec.Struct, frozen=True):
    """An operator's wish, the step it was aimed at, and what became of it. ``state`` is open, done or refused."""

    id: int
    rollout: int
    step: int | None
    kind: str
    by: str
    uid: int
    time: str
    arguments: dict[str, Any]
    state: str
    answer: str


class Approval(msgspec.Struct, frozen=True):
    """Somebody's word about the plan of this hash. ``verdict`` is approved or rejected; ``person``: the login behind sudo; ``step``: it
    is about going on there, 0: about beginning."""

    id: int
    rollout: int
    plan_hash: str
    verdict: str
    person: str
    by: str
    uid: int
    time: str
    reason: str
    step: int = 0


class MadeFreeze(msgspec.Struct, frozen=True):
    """An environment that somebody has frozen by hand. ``until``: None: until somebody ends it."""

    id: int
    environment: str
    until: str | None
    reason: str
    by: str
    uid: int
    since: str
    ended: str | None
    ended_by: str | None


class Event(msgspec.Struct, frozen=True):
    """One link of the audit chain and of the live feed."""

    seq: int
    time: str
    uid: int
    who: str
    kind: str
    target: str | None
    rollout: int | None
    host: str | None
    body: dict[str, Any]
    hash: str


ROUTER: Final = "(router)"
"""Stands where a host's name does in the observation of a target's router; no host can be called so."""


class Observation(msgspec.Struct, frozen=True, gc=False):  # tens of thousands, and nothing in one leads back to it
    """What a host was last seen running. ``health`` is healthy, unhealthy or unknown."""

    target: str
    host: str
    time: str
    release: str | None
    version: str | None
    health: str
    error: str | None
    body: dict[str, Any]


BETWEEN: Final = "\x1e"
"""Stands between two values in a column of ``Said``; no value has it."""

NOTHING: Final = "\x1d"
"""Stands in a column of ``Said`` where there is no value."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """What all hosts of a target, and its router, said last: a column of an observation in each text, and in each column the same hosts in
    the same order. A target may have a thousand hosts, and most of them say the same: nobody makes a thousand values of that."""

    hosts: str
    times: str
    releases: str
    versions: str
    healths: str
    errors: str
    bodies: str

    @property
    def fingerprint(self) -> int:
        """Another number as soon as a host, or the router, was observed anew; the same within one process only."""
        return hash((self.hosts, self.times, self.releases, self.versions, self.healths, self.errors))


class Metric(StrEnum):
    """What a sample measures. Of a target on a host: latency, failure, and what its container uses. Of a host: the others."""

    LATENCY = "latency"  # seconds that a health check that passed took
    FAILURE = "failure"  # seconds until a health check failed
    LOAD = "load"  # of the last minute
    CPU = "cpu"  # percent of all cores
    MEMORY = "memory"  # percent that is used
    DISK = "disk"  # percent that is used, where the target lies
    CONTAINER_CPU = "container cpu"  # percent of one core
    CONTAINER_MEMORY = "container memory"  # bytes that it uses
    CONTAINER_LIMIT = "container memory limit"  # bytes that it may use; not there: whatever there is
    CONTAINER_RESTARTS = "container restarts"  # by its engine, since somebody last started it
    CONTAINER_OUT_OF_MEMORY = "container out of memory"  # how often something in it was killed, since it is watched
    CONTAINER_RECEIVED = "container received"  # bytes a second
    CONTAINER_SENT = "container sent"  # bytes a second


class Sample(msgspec.Struct, frozen=True):
    """One measurement. ``target`` is empty for a whole host; ``boottime`` is nanoseconds of CLOCK_BOOTTIME of this boot.

    ``id`` grows with each one that is written; 0: it is not written yet.
    """

    target: str
    host: str
    release: str | None
    metric: str
    value: float
    time: str
    boottime: int
    id: int = 0


class Presence(msgspec.Struct, frozen=True):
    """A control room that is open. ``heartbeat``, ``looked`` and ``asked`` are nanoseconds of boot time; 0: never."""

    pid: int
    start_ticks: int
    boot_id: str
    who: str
    uid: int
    view: str
    target: str | None
    since: str
    heartbeat: int
    looked: int = 0
    asked: int = 0


class Debt(msgspec.Struct, frozen=True):
    """A host that could not be finished: it must be brought to ``release`` before anything else happens to it."""

    target: str
    host: str
    release: str | None
    rollout: int
    since: str
    reason: str


class Moment(msgspec.Struct, frozen=True):
    """``time``: the wall clock. ``boottime``: nanoseconds since the boot ``boot``; two compare within one boot only."""

    time: str
    boot: str = ""
    boottime: int = 0


class Stood(msgspec.Struct, frozen=True):
    """From ``since`` on, a target as a whole ran ``release``."""

    release: str | None
    since: Moment


class ReleaseRow(msgspec.Struct, frozen=True):
    """A release as the journal knows it. ``verdict`` is untried, good or bad."""

    release: "Release"
    id: str
    verdict: str
    verdict_reason: str
    first_seen: str
    last_good: str | None
