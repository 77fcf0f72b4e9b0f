"""What can go wrong with the journal, each as one clear sentence and what to do next; never a traceback for the user."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quarterdeck.history.records import Request, Rollout


class JournalError(Exception):
    """``problem`` is a sentence without its full stop; ``advice`` says what to do next, or is empty."""

    def __init__(self, problem: str, *, advice: str = "") -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem}. {self.advice}" if self.advice else self.problem


class JournalMissing(JournalError):
    """There is no journal at this place, and none was to be made."""


class JournalBusy(JournalError):
    """Somebody held the journal's lock for too long. ``pid`` is None when the holder can't be told."""

    def __init__(self, pid: int | None, label: str, seconds: float) -> None:
        super().__init__(
            f"the journal is busy: {label} has held its lock for {seconds:.0f} seconds",
            advice="Nothing was written; try again, or look at what that process waits for",
        )
        self.pid = pid
        self.label = label


class JournalOutdated(JournalError):
    """The file has an older format, and was opened only to be read."""

    def __init__(self, path: str, found: int) -> None:
        super().__init__(
            f"the journal {path} has the older format {found}",
            advice="Any command that writes brings it to the newest one, for instance `qd note`",
        )
        self.found = found


class JournalTooNew(JournalError):
    """The file was made by a newer program; it was not touched."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} has format {found} and this program knows formats up to {known}: it was left as it is",
            advice="Use the newer qd that made it",
        )
        self.found = found
        self.known = known


class JournalOnNetwork(JournalError):
    """The state directory is on a file system whose locks can't be relied on."""

    def __init__(self, path: str, kind: str, mount: str) -> None:
        super().__init__(
            f"the state directory {path} is on a network or shared file system ({kind}, mounted on {mount}),"
            " where locks can't be relied on",
            advice="Set `state` in the fleet file to a directory on a local disk of this machine",
        )
        self.kind = kind
        self.mount = mount


class JournalFull(JournalError):
    """No room on the disk: the change was not recorded, what was recorded before is intact. ``reserve``: some of it is left."""

    def __init__(self, path: str, *, reserve: bool = True) -> None:
        rollback = (
            "still finds room in the journal's reserve"
            if reserve
            else "needs it too: the journal's reserve is not there"
        )
        super().__init__(
            f"no room on the disk of the journal ({path}): this was not recorded and nothing recorded before is lost",
            advice=f"Make room there and try again; a rollback {rollback}",
        )


class JournalCorrupt(JournalError):
    """SQLite says that the file is damaged or no database."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"the journal {path} is damaged ({problem})",
            advice="Move it away and rebuild it from the hosts with `qd adopt`, or put a backup in its place",
        )


class EpochLost(JournalError):
    """Somebody else has taken the target over: this worker must stop without a further change."""

    def __init__(self, rollout: int, epoch: int, now: int, by: str) -> None:
        super().__init__(
            f"rollout {rollout} has lost its target: its epoch was {epoch}, now it is {now}, taken by {by}"
        )
        self.rollout = rollout
        self.epoch = epoch
        self.now = now
        self.by = by


class TargetBusy(JournalError):
    """Another rollout of the target is going on. ``active`` is that one."""

    def __init__(self, active: "Rollout") -> None:
        aim = f" to {active.to_release}" if active.to_release else ""
        super().__init__(
            f"{active.target} is busy with rollout {active.id} ({active.kind}{aim}) of {active.requested_by}, {active.state}",
            advice=f"See it with `qd watch {active.target}`",
        )
        self.active = active


class UnknownRollout(JournalError):
    """No rollout has this number."""

    def __init__(self, rollout: int) -> None:
        super().__init__(f"there is no rollout {rollout}", advice="`qd rollouts` lists them")
        self.rollout = rollout


class RequestRefused(JournalError):
    """What was asked makes no sense in the present state. ``why`` says so."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Withdrawn(RequestRefused):
    """An operator took the rollout back before it began: nothing was changed. ``request`` is that wish."""

    def __init__(self, rollout: int, request: "Request") -> None:
        super().__init__(f"rollout {rollout} does not begin: {request.by} has asked to {request.kind} it")
        self.request = request


class LockHeld(JournalError):
    """A living process holds the lock of this rollout. ``pid`` is None when it can't be told."""

    def __init__(self, rollout: int, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"rollout {rollout} has a living worker: {holder}")
        self.rollout = rollout
        self.pid = pid
