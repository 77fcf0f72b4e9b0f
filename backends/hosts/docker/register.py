"""What a target's host remembers, kept by the engine itself: a register that is changed by compare-and-swap, without an agent, a file
or a shell there.

One volume a generation, empty, its labels hold the whole state. ``create volume`` of a name that exists answers with the one that
exists and with its labels, so of all who write generation n + 1 exactly one finds its own nonce in the answer: it has won, the others
read again and judge anew. The highest epoch counts before the highest generation: what a frozen writer of an older epoch still brings
forth when it wakes is never read as the state.

Where somebody prunes the volumes, the epochs on the target's containers still fence; good, bad and recorded outcomes are lost then, and
the manifests of what has a container are not.

The window: the register is read before each call that changes something. A writer that is frozen between that reading and that call for
so long that a newer one takes over meanwhile still makes this one call when it wakes, and no other. Containers are called by their ids,
and the live name is the engine's to give, once: such a call can hit only what the older writer itself had been working on. That may be
the container that the newer one has put back (a stop that comes late): no engine can compare and act in one call; the facts tell it as
drift.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, EngineRefused, Fenced
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.names import EPOCH, GENERATION, NONCE, STATE, TARGET, slug

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


def to_label(state: State) -> str:
    import msgspec  # slow to import: only where a state is written or read

    return json.dumps(msgspec.to_builtins(state), separators=(",", ":"), ensure_ascii=False)


def from_label(text: str) -> State | None:
    """None where it is not a state: somebody else's label."""
    import msgspec

    try:
        return msgspec.json.decode(text.encode(), type=State)
    except (msgspec.MsgspecError, UnicodeError):
        return None


class Register:
    """The register of one target on one engine. Holds nothing between two calls: what it tells was read just now."""

    def __init__(self, engine: "Engine", target: str) -> None:
        self._engine = engine
        self._target = target

    async def read(self, action: str, *, deadline: float) -> State:
        """The newest state; where the register is not there (never written, or pruned), one that has the highest epoch of the target's
        containers."""
        best = _best(await self._records(action, deadline))
        return best.state if best is not None else State(epoch=await self._epoch_of_containers(action, deadline))

    async def check(self, fence: Fence, action: str, *, deadline: float) -> State:
        """The state, where ``fence`` may act on it. Raises ``Fenced``."""
        state = await self.read(action, deadline=deadline)
        self._judge(fence, state, action)
        return state

    async def write(
        self, fence: Fence, action: str, change: Callable[[State], State], *, deadline: float, floor: int = 0
    ) -> State:
        """Swaps the state for what ``change`` makes of it; ``change`` is asked again for each state that comes in between. ``floor``:
        an epoch seen elsewhere. Raises ``Fenced``."""
        for _ in range(_TRIES):
            records = await self._records(action, deadline)
            last = _best(records)
            state = last.state if last else State(epoch=await self._epoch_of_containers(action, deadline))
            self._judge(fence, replace(state, epoch=max(state.epoch, floor)), action)
            wanted = replace(change(state), epoch=fence.epoch, holder=fence.holder, anchor=fence.anchor)
            if wanted == state:
                return state
            if await self._won(action, 1 + max((one.generation for one in records), default=0), wanted, last, deadline):
                return wanted
        raise BackendError(
            self._engine.host,
            action,
            f"others have written the record of {self._target} {_TRIES} times meanwhile",
            advice="look who else is at work on this host",
        )

    async def _won(self, action: str, generation: int, wanted: State, last: _Record | None, deadline: float) -> bool:
        nonce = secrets.token_hex(8)
        name = f"quarterdeck.{slug(self._target)}.{generation}"
        labels = {TARGET: self._target, GENERATION: str(generation), NONCE: nonce, STATE: to_label(wanted)}
        made: Mapping[str, Any] = await self._engine.call(
            action, lambda client: client.create_volume(name, labels=labels), deadline=deadline
        )
        if (made.get("Labels") or {}).get(NONCE) != nonce:
            return False
        records = await self._records(action, deadline)
        best = _best(records)
        if best is None or best.nonce != nonce:
            return False  # a newer one was written meanwhile: what was just written is never read
        keep = {name, last.name if last else ""}
        for old in records:
            if old.name not in keep:
                await self._remove(action, old.name, deadline)
        return True

    async def _remove(self, action: str, name: str, deadline: float) -> None:
        def remove(client: "docker.APIClient") -> None:
            client.remove_volume(name)

        try:
            await self._engine.call(action, remove, deadline=deadline)
        except EngineRefused:
            return  # another one has removed it, or somebody uses it: it is an old one in either case

    def _judge(self, fence: Fence, state: State, action: str) -> None:
        if fence.epoch < state.epoch:
            raise Fenced(self._engine.host, action, epoch=fence.epoch, seen=state.epoch, holder=state.holder)

    async def _records(self, action: str, deadline: float) -> list[_Record]:
        filters = {"label": [f"{TARGET}={self._target}", STATE]}
        found: Mapping[str, Any] = await self._engine.call(
            action, lambda client: client.volumes(filters=filters), deadline=deadline
        )
        records = []
        for volume in found.get("Volumes") or []:
            labels = volume.get("Labels") or {}
            state = from_label(labels.get(STATE, ""))
            number = labels.get(GENERATION, "")
            if state is not None and number.isdigit():
                records.append(_Record(volume["Name"], int(number), labels.get(NONCE, ""), state))
        return records

    async def _epoch_of_containers(self, action: str, deadline: float) -> int:
        filters = {"label": [f"{TARGET}={self._target}"]}
        found: list[Mapping[str, Any]] = await self._engine.call(
            action, lambda client: client.containers(all=True, filters=filters), deadline=deadline
        )
        return max((epoch_of(one.get("Labels") or {}) for one in found), default=0)


def epoch_of(labels: Mapping[str, str]) -> int:
    text = labels.get(EPOCH, "")
    return int(text) if text.isdigit() else 0


def _best(records: list[_Record]) -> _Record | None:
    return max(records, key=lambda one: one.order, default=None)
