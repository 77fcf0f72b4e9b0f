"""What runs of a target on a Swarm, which is one of its hosts: its tasks, the nodes, and what of both is as it should be.

Values for pictures, made of the body of an observation alone. A target that runs on no Swarm has none of them.
"""

from collections.abc import Container, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.rollouts.version_words import version_of

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import TargetFacts

KEY: Final = "swarm"  # in the body of an observation
ASKED: Final = "asked"  # likewise; beside that, for another time alone is nothing that one would act upon
_ENDED: Final = frozenset({"failed", "rejected", "complete", "orphaned", "remove"})
_STUCK: Final = frozenset({"pending", "assigned"})  # no node takes it, or its node does not begin with it

_WORDS: Final = ("node", "release", "state", "said", "hostname", "availability")


class State(StrEnum):
    """How a task or a node stands, by the marks of targets and hosts."""

    GOOD = "="
    GOING = ">"  # on its way to running, or out
    ODD = "~"
    BAD = "x"
    UNKNOWN = "?"


class TaskSeen(msgspec.Struct, frozen=True, gc=False):
    """``slot``: 0 of a global service. ``node``: its hostname, empty while it waits for one. ``said``: why it waits, or failed. ``wanted``:
    False for one that is on its way out."""

    id: str
    slot: int
    node: str
    release: str
    state: str
    said: str = ""
    wanted: bool = True

    @property
    def runs(self) -> bool:
        return self.wanted and self.state == "running"

    @property
    def version(self) -> str:
        return version_of(self.release) or "?"

    @property
    def place(self) -> tuple[int, str]:
        """What it fills: a slot, or of a global service its node. While one is replaced, two tasks have the same."""
        return self.slot, "" if self.slot else self.node


class NodeSeen(msgspec.Struct, frozen=True, gc=False):
    """``state``: ready, down, unknown, disconnected; ``availability``: active, pause, drain."""

    hostname: str
    state: str
    availability: str
    manager: bool = False
    leader: bool = False

    @property
    def role(self) -> str:
        return "leader" if self.leader else "manager" if self.manager else "worker"

    @property
    def standing(self) -> State:
        if self.state != "ready":
            return State.UNKNOWN if self.state in ("unknown", "disconnected") else State.BAD
        return State.GOOD if self.availability == "active" else State.ODD


_Part = TypeVar("_Part", TaskSeen, NodeSeen)


class SwarmSeen(msgspec.Struct, frozen=True, gc=False):
    """``tasks``: by slot, what is to run before what is on its way out. ``nodes``: by hostname. ``replicas``: how many tasks its release
    says, 0: that is not known, or one on each node. ``unfetched``: releases that it knows and whose image it can't fetch. ``well``: how
    many of its release's tasks run and are well, None: they were not asked. ``asked``: when a registry was asked for the images of
    releases, ISO 8601 UTC."""

    tasks: tuple[TaskSeen, ...] = ()
    nodes: tuple[NodeSeen, ...] = ()
    replicas: int = 0
    unfetched: frozenset[str] = frozenset()
    well: int | None = None
    asked: Mapping[str, str] = {}

    def running(self, *releases: str | None) -> int:
        """How many places a running task of one of these fills."""
        return len({one.place for one in self.tasks if one.runs and one.release in releases})

    @property
    def wanted(self) -> int:
        """How many tasks there should be: as many as its release says, or more where somebody has asked for more."""
        return max(len({one.place for one in self.tasks if one.wanted}), self.replicas)

    def in_part(self, release: str | None) -> bool:
        """Whether some of the tasks of ``release`` are well, and not all that there should be: by checks, else by whether they run."""
        return 0 < (self.running(release) if self.well is None else self.well) < self.wanted

    def progress(self, release: str | None) -> tuple[int, int]:
        """Of an update to it: how many of its tasks run, and how many there are to be."""
        return self.running(release), len({one.place for one in self.tasks if one.wanted}) or self.wanted or 1

    def waiting(self, release: str | None) -> TaskSeen | None:
        """The first task of it that is to run and does not, and says why; else one that says nothing."""
        found = [one for one in self.tasks if one.wanted and not one.runs and one.release == release]
        return next((one for one in found if one.said), found[0] if found else None)

    def node(self, hostname: str) -> NodeSeen | None:
        return next((one for one in self.nodes if one.hostname == hostname), None)


def told_of(
    facts: "TargetFacts", *, replicas: int, unfetched: Iterable[str], well: int | None = None
) -> dict[str, Any]:
    """For the body of an observation, under ``KEY``; see ``SwarmSeen``."""
    return {
        "tasks": [msgspec.to_builtins(one) for one in facts.tasks],
        "nodes": [msgspec.to_builtins(one) for one in facts.nodes],
        "replicas": replicas,
        "unfetched": sorted(unfetched),
        **({"well": well} if well is not None else {}),
    }


def swarm_seen(told: object, asked: object = None) -> SwarmSeen | None:
    """From the body of an observation, what is there under ``KEY`` and ``ASKED``; None where it has another shape than any that we
    write."""
    try:
        found = msgspec.convert(told, SwarmSeen)
        times = msgspec.convert(asked or {}, dict[str, str])
    except msgspec.ValidationError:
        return None
    words = "".join([text for one in found.tasks for text in (one.node, one.release, one.state, one.said)])
    words += "".join([text for one in found.nodes for text in (one.hostname, one.state, one.availability)])
    tasks, nodes = found.tasks, found.nodes
    if not (words.isascii() and words.isprintable()):  # all at once: hardly ever is one of thousands odd
        tasks, nodes = tuple(_cleaned(one) for one in tasks), tuple(_cleaned(one) for one in nodes)
    by_slot = sorted(tasks, key=lambda one: (one.place, not one.wanted, one.id))
    by_name = sorted(nodes, key=lambda one: one.hostname)
    return SwarmSeen(tuple(by_slot), tuple(by_name), found.replicas, found.unfetched, found.well, times)


def _cleaned(one: _Part) -> _Part:
    """Its words, each on one line: nodes and images are named by others."""
    words = {name: " ".join(clean(getattr(one, name)).split()) for name in _WORDS if hasattr(one, name)}
    return msgspec.structs.replace(one, **words)


def standing_of(task: TaskSeen, node: NodeSeen | None, expected: Container[str | None]) -> tuple[State, str]:
    """How the task stands, and why where its own state does not say it. ``node``: that it is on, None where that is not known.
    ``expected``: releases that may run, of which a rollout has two."""
    lost = node is not None and node.state != "ready"
    where = f"{node.hostname} is {node.state}" if node is not None else ""
    if not task.wanted:
        return (State.UNKNOWN, f"{where}: it may still run there") if lost else (State.GOING, "on its way out")
    if task.state in _ENDED:
        return State.BAD, task.said
    if task.state != "running":
        return State.ODD if task.said or task.state in _STUCK else State.GOING, task.said
    if lost:
        return State.UNKNOWN, where
    if task.release not in expected:
        return State.ODD, "of another release"
    if node is not None and node.availability == "drain":
        return State.ODD, f"{node.hostname} is drained"
    return State.GOOD, ""


def on_nodes(swarms: Iterable[SwarmSeen]) -> Mapping[str, int]:
    """By hostname, how many tasks of all these run there."""
    found: dict[str, int] = {}
    for swarm in swarms:
        for task in swarm.tasks:
            if task.state == "running" and task.node:
                found[task.node] = found.get(task.node, 0) + 1
    return found
