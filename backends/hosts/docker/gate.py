"""The gate: nothing changes on an engine for a target but through it. Never for an old epoch, never twice for the same operation.

What an SSH host's lock does in one command is a check before each call here: see ``register`` for the window between."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut, EngineRefused, Fenced, Unreachable
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.looking import Body, Seen, find_image, inspect, look
from quarterdeck.backends.hosts.docker.register import Register, State
from quarterdeck.backends.secrets.masking import Masker

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

T = TypeVar("T")
_RECORDING: Final = 5.0  # seconds
_OUTPUT_RECORDED: Final = 4096  # characters: all outcomes lie in one label, which is read before every change
UNCHANGED: Final = "Nothing was changed there"


class Gate:
    """One action of one worker on one target. ``words``: the action in errors."""

    def __init__(self, engine: "Engine", fence: Fence, words: str, deadline: float) -> None:
        self.engine = engine
        self.fence = fence
        self.words = words
        self.touched = False
        self.state = State()
        self.register = Register(engine, fence.target)
        self._hidden: set[str] = set()
        self._until = asyncio.get_running_loop().time() + deadline

    @property
    def host(self) -> str:
        return self.engine.host

    @property
    def left(self) -> float:
        """Seconds that are left of the action's deadline."""
        return max(0.05, self._until - asyncio.get_running_loop().time())

    def hide(self, values: Iterable[str]) -> None:
        """Secrets, which are taken out of whatever is recorded: labels can be read by all who may use the engine."""
        self._hidden.update(values)

    async def ask(self, function: "Callable[[docker.APIClient], T]") -> T:
        """A call that changes nothing."""
        return await self.engine.call(self.words, function, deadline=self.left)

    async def act(self, function: "Callable[[docker.APIClient], T]", *, ends_with_us: bool = False) -> T:
        """A call that changes something, after a fresh look whether this worker still may. Raises ``Fenced``.

        ``ends_with_us``: the engine stops it when nobody waits any more (a pull). It goes on with all else, and the next action on this
        connection waits for that before it looks: a container that starts after the look would run beside what is taken back.
        """
        self.state = await self.register.check(self.fence, self.words, deadline=self.left)
        self.touched = True
        if ends_with_us:
            return await self.engine.call(self.words, function, deadline=self.left)
        return await self.engine.change(self.words, function, deadline=self.left)

    async def act_if_there(self, function: "Callable[[docker.APIClient], object]", *fine: int) -> bool:
        """``act`` where it is as well when the thing is gone (404) or already is so (``fine``): whether it was done now."""
        try:
            await self.act(function)
        except EngineRefused as error:
            if error.status in (404, *fine):
                return False
            raise
        return True

    async def overtaken(self) -> Seen | None:
        """What is there now, where a newer worker has come between the look before the last call and that call; else None. Who was
        overtaken so takes back what that call has done, as far as the newer one has not made it its own, and raises ``fenced``."""
        state = await self.register.read(self.words, deadline=max(_RECORDING, self.left))
        if state.epoch <= self.fence.epoch:
            return None
        return await look(self.engine, self.fence.target, self.words, deadline=max(_RECORDING, self.left))

    def fenced(self, seen: Seen) -> Fenced:
        return Fenced(self.host, self.words, epoch=self.fence.epoch, seen=seen.epoch, holder=seen.state.holder)

    async def look(self) -> Seen:
        await self.engine.settled(self.left)
        seen = await look(self.engine, self.fence.target, self.words, deadline=self.left)
        if self.fence.epoch < seen.epoch:
            holder = seen.state.holder if seen.state.epoch == seen.epoch else ""
            raise Fenced(self.host, self.words, epoch=self.fence.epoch, seen=seen.epoch, holder=holder)
        self.state = seen.state
        return seen

    async def inspect(self, container: str) -> Body | None:
        return await inspect(self.engine, self.words, container, deadline=self.left)

    async def find_image(self, reference: str) -> Body | None:
        return await find_image(self.engine, self.words, reference, deadline=self.left)

    async def remember(self, change: Callable[[State], State], floor: int = 0) -> None:
        left = max(_RECORDING, self.left)  # also where the action itself has used up its time
        self.state = await self.register.write(self.fence, self.words, change, deadline=left, floor=floor)

    async def once(
        self, op_id: str, kind: str, action: Callable[[Seen], Awaitable[dict[str, Any]]], *, begun: bool = False
    ) -> tuple[dict[str, Any], bool]:
        """The outcome of ``action``, and whether it is the recorded one: an operation that has an outcome is not done again. The outcome
        of a failure is recorded as well, once anything was touched. ``begun``: it is also noted before it begins."""
        seen = await self.look()
        record = seen.state.operations.get(op_id)
        if record is not None and "outcome" in record:
            return dict(record["outcome"]), True
        if record is not None and "error" in record:
            raise _recorded_error(self.host, self.words, record["error"])
        if self._is_new(seen):  # whoever is older is refused from here on
            current = seen.current or ""
            await self.remember(lambda now: replace(now, current=current), seen.epoch)
        if begun:
            await self.remember(lambda now: now.with_operation(op_id, {"kind": kind, "begun": True}))
        try:
            outcome = await action(seen)
        except (Fenced, Unreachable):
            raise
        except CommandFailed as error:
            if not self.touched:
                error.untouched = True
                error.left = error.left or UNCHANGED
                raise
            failure = _error_record(error, self._masked)
            with contextlib.suppress(BackendError):  # told in any case; asked for again, it begins with what it finds
                await self.remember(lambda now: now.with_operation(op_id, {"kind": kind, "error": failure}))
            raise
        except BackendError as error:
            if not self.touched:
                error.untouched = True
                error.left = error.left or UNCHANGED
            raise
        changes: Mapping[str, Any] = outcome.pop("state", {})
        shown = {**outcome, **({"output": self._masked(outcome["output"])} if "output" in outcome else {})}
        await self.remember(lambda now: replace(now, **changes).with_operation(op_id, {"kind": kind, "outcome": shown}))
        return outcome, False

    def _masked(self, text: str) -> str:
        return _end(Masker(self._hidden).mask(text))

    def _is_new(self, seen: Seen) -> bool:
        state = seen.state
        return (state.epoch, state.holder, state.anchor) != (self.fence.epoch, self.fence.holder, self.fence.anchor)


def _end(text: str) -> str:
    return text if len(text) <= _OUTPUT_RECORDED else "…" + text[-_OUTPUT_RECORDED:]


def _error_record(error: CommandFailed, masked: Callable[[str], str]) -> dict[str, Any]:
    return {
        "problem": masked(error.problem),
        "exit_status": error.exit_status,
        "output": masked(error.output),
        "left": error.left,
        "timed_out": isinstance(error, CommandTimedOut),
    }


def _recorded_error(host: str, words: str, record: Mapping[str, Any]) -> CommandFailed:
    kind = CommandTimedOut if record.get("timed_out") else CommandFailed
    return kind(
        host,
        words,
        f"{record.get('problem', '')}. This is the outcome recorded when it ran",
        exit_status=record.get("exit_status"),
        output=str(record.get("output", "")),
        left=str(record.get("left", "")),
    )
