"""What a target's host remembers, kept by the engine itself: a register that is changed by compare-and-swap, without an agent, a file
or a shell there.

One volume a generation, empty, its labels hold the whole state. ``create volume`` of a name that exists answers with the one that
exists and with its labels, so of all who write generation n + 1 exactly one finds its own nonce in the answer: it has won, the others
read again and judge anew. The highest epoch counts before the highest generation: what a frozen writer of an older epoch still brings
forth when it wakes is never read as the state.

An engine that ends while it makes a volume may keep its name and lose its labels. Such a name holds nothing that could be lost, and
can't be written: it is passed by, and removed once a later generation is there.

Where somebody prunes the volumes, the epochs on the target's containers still fence; good, bad and recorded outcomes are lost then, and
the manifests of what has a container are not.

The window: the register is read right before each call that changes something (a swap of the register itself may be made beside that
call: it is compared anyway). A writer that is frozen between that reading and that call for so long that a newer one takes over
meanwhile still makes this one call when it wakes, and no other. Containers are called by their ids,
and the live name is the engine's to give, once: such a call can hit only what the older writer itself had been working on. That may be
the container that the newer one has put back (a stop that comes late, a name, a restart policy): no engine can compare and act in one
call. The older writer takes it back as soon as its next look tells (``overtaken``); where it is killed before that, the facts tell it as
drift.
"""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, EngineRefused, Fenced
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.names import EPOCH, GENERATION, NONCE, STATE, TARGET, slug
from quarterdeck.backends.numbers import number_in

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

_TRIES: Final = 50  # races lost in a row
OPERATIONS_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class State:
    """``operations``: recorded outcomes by op_id, the newest last. ``started``: the container that was started last for the traffic,
    and when, in the engine's words: whatever else runs was started by somebody else."""

    epoch: int = 0
    holder: str = ""
    anchor: str = ""
    current: str = ""  # the release that was live after the last action; for when no container has the live name
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    releases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # manifests by id, the oldest first
    operations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    started: Mapping[str, str] = field(default_factory=dict)  # id, at
    wanted: str = (
        ""  # the release that the last worker to switch here is putting there, or has put there; "": ``current``
    )

    def with_operation(self, op_id: str, record: Mapping[str, Any]) -> "State":
        others = {name: one for name, one in self.operations.items() if name != op_id}
        newest = dict(list(others.items())[-(OPERATIONS_KEPT - 1) :])
        return replace(self, operations={**newest, op_id: record})


@dataclass(frozen=True, slots=True)
class _Record:
    name: str
    generation: int
    nonce: str
    state: State

    @property
    def order(self) -> tuple[int, int]:
        return self.state.epoch, self.generation


@dataclass(frozen=True, slots=True)
class Reading:
    """The register at one look: a swap can begin with it, for what has changed since makes the swap fail."""

    state: State
    records: tuple[_Record, ...] = ()


def to_label(state: State) -> str:
    import msgspec  # slow to import: only where a state is written or read

    return json.dumps(msgspec.to_builtins(state), separators=(",", ":"), ensure_ascii=False)


def from_label(text: str) -> State | None:
    """None where it is not a state: somebody else's label."""
    import msgspec

    try:
        return msgspec.json.decode(text.encode(), type=State)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class Register:
    """The register of one target on one engine. Holds nothing between two calls: what it tells was read just now."""

    def __init__(self, engine: "Engine", target: str) -> None:
        self._engine = engine
        self._target = target

    async def read(self, action: str, *, deadline: float) -> State:
        """The newest state; where the register is not there (never written, or pruned), one that has the highest epoch of the target's
        containers."""
        return (await self.look(action, deadline=deadline)).state

    async def look(self, action: str, *, deadline: float) -> Reading:
        """``read``, with what a swap compares."""
        return await self._reading(await self._records(action, deadline), action, deadline)

    async def _reading(self, records: Sequence[_Record], action: str, deadline: float) -> Reading:
        best = _best(records)
        state = best.state if best is not None else State(epoch=await self._epoch_of_containers(action, deadline))
        return Reading(state, tuple(records))

    async def check(self, fence: Fence, action: str, *, deadline: float) -> Reading:
        """``look``, where ``fence`` may act on the state. Raises ``Fenced``."""
        reading = await self.look(action, deadline=deadline)
        self._judge(fence, reading.state, action)
        return reading

    async def write(
        self,
        fence: Fence,
        action: str,
        change: Callable[[State], State],
        *,
        deadline: float,
        floor: int = 0,
        reading: Reading | None = None,
    ) -> Reading:
        """Swaps the state for what ``change`` makes of it, and reads it back; ``change`` is asked again for each state that comes in
        between. ``floor``: an epoch seen elsewhere; ``reading``: what was read just now, so that it is not read again. Raises ``Fenced``.
        """
        unreadable: list[str] = []
        for _ in range(_TRIES):
            reading = reading or await self.look(action, deadline=deadline)
            state, before = reading.state, reading
            self._judge(fence, replace(state, epoch=max(state.epoch, floor)), action)
            wanted = replace(change(state), epoch=fence.epoch, holder=fence.holder, anchor=fence.anchor)
            if wanted == state:
                return reading
            reading, won = await self._swap(action, wanted, before, unreadable, deadline)
            if won:
                self._forget_older(action, before, deadline)
                for name in unreadable:  # waited for: nobody would find them again
                    with contextlib.suppress(EngineRefused):
                        await self._engine.call(action, partial(_remove, name), deadline=deadline)
                return reading
        raise BackendError(
            self._engine.host,
            action,
            f"others have written the record of {self._target} {_TRIES} times meanwhile",
            advice="look who else is at work on this host",
        )

    async def _swap(
        self, action: str, wanted: State, before: Reading, unreadable: list[str], deadline: float
    ) -> tuple[Reading, bool]:
        """What is there afterwards, and whether that is ``wanted``: not so where another one was quicker, and not where a newer one has
        written meanwhile, so that what was just written is never read.
        Adds the names to ``unreadable`` that nobody can write to."""
        generation = max((one.generation for one in before.records), default=0)
        nonce = secrets.token_hex(8)
        for _ in range(_TRIES):
            generation += 1
            name = f"quarterdeck.{slug(self._target)}.{generation}"
            labels = {TARGET: self._target, GENERATION: str(generation), NONCE: nonce, STATE: to_label(wanted)}
            made: Mapping[str, Any] = await self._engine.call(action, partial(_create, name, labels), deadline=deadline)
            if made.get("Labels"):
                break
            # An engine that ended while it made this one has kept the name and lost the labels. All who write find it so, and pass it by.
            unreadable.append(name)
        records = await self._records(action, deadline)
        best = _best(records)
        won = (made.get("Labels") or {}).get(NONCE) == nonce and best is not None and best.nonce == nonce
        return await self._reading(records, action, deadline), won

    def _forget_older(self, action: str, before: Reading, deadline: float) -> None:
        """Removes what came before the generation that was swapped. Nobody waits for it: what stays is removed after the next swap."""
        last = _best(before.records)
        for old in before.records:
            if old is not last:
                self._engine.later(action, partial(_remove, old.name), deadline=deadline)

    def _judge(self, fence: Fence, state: State, action: str) -> None:
        if fence.epoch < state.epoch:
            raise Fenced(self._engine.host, action, epoch=fence.epoch, seen=state.epoch, holder=state.holder)

    async def _records(self, action: str, deadline: float) -> list[_Record]:
        filters = {"label": [f"{TARGET}={self._target}", STATE]}
        found: Mapping[str, Any] = await self._engine.call(
            action, lambda client: client.volumes(filters=filters), deadline=deadline
        )
        return [one for volume in found.get("Volumes") or [] if (one := _record(volume)) is not None]

    async def _epoch_of_containers(self, action: str, deadline: float) -> int:
        filters = {"label": [f"{TARGET}={self._target}"]}
        found: list[Mapping[str, Any]] = await self._engine.call(
            action, lambda client: client.containers(all=True, filters=filters), deadline=deadline
        )
        return max((epoch_of(one.get("Labels") or {}) for one in found), default=0)


def _create(name: str, labels: dict[str, str], client: "docker.APIClient") -> Mapping[str, Any]:
    made: Mapping[str, Any] = client.create_volume(name, labels=labels)
    return made


def _remove(name: str, client: "docker.APIClient") -> None:
    client.remove_volume(name)


def newest_states(volumes: Iterable[Mapping[str, Any]]) -> dict[str, State]:
    """By target, of the registers of all that are among ``volumes``."""
    found: dict[str, list[_Record]] = {}
    for volume in volumes:
        record = _record(volume)
        if record is not None:
            found.setdefault(volume["Labels"].get(TARGET, ""), []).append(record)
    return {target: best.state for target, records in found.items() if (best := _best(records)) is not None}


def _record(volume: Mapping[str, Any]) -> _Record | None:
    """None where it is no register's."""
    labels = volume.get("Labels") or {}
    state = from_label(labels.get(STATE, ""))
    number = number_in(labels.get(GENERATION))
    return _Record(volume["Name"], number, labels.get(NONCE, ""), state) if state and number is not None else None


def epoch_of(labels: Mapping[str, str]) -> int:
    return number_in(labels.get(EPOCH)) or 0


def _best(records: Sequence[_Record]) -> _Record | None:
    return max(records, key=lambda one: one.order, default=None)
