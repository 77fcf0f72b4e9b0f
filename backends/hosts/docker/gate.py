"""The gate: nothing changes on an engine for a target but through it. Never for an old epoch, never twice for the same operation.

What an SSH host's lock does in one command is a check before each call here: see ``register`` for the window between, and ``overtaken``
for what is done where a newer worker came in that window. A look that has just been made for something else is such a check too, as long
as nothing was asked of the engine since."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from quarterdeck.backends.errors import (
    BackendError,
    CommandFailed,
    CommandTimedOut,
    EngineRefused,
    Fenced,
    NoSpace,
    Unreachable,
)
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.looking import Body, Container, Seen, find_image, inspect, look, others, together
from quarterdeck.backends.hosts.docker.overtaken import Undo
from quarterdeck.backends.hosts.docker.register import Reading, Register, State
from quarterdeck.backends.secrets.masking import Masker

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

T = TypeVar("T")
_RECORDING: Final = 5.0  # seconds
_JUST_NOW: Final = 0.05  # seconds in which a look counts for what comes right after it
_OUTPUT_RECORDED: Final = 4096  # characters: all outcomes lie in one label, which is read before every change
UNCHANGED: Final = "Nothing was changed there"


class Gate:
    """One action of one worker on one target. ``words``: the action in errors; ``wants``: the release that it is to put there, "" where
    it puts none there, None where it is about something else."""

    def __init__(
        self, engine: "Engine", fence: Fence, words: str, deadline: float, *, wants: str | None = None
    ) -> None:
        self.engine = engine
        self.fence = fence
        self.words = words
        self.wants = wants
        self.touched = False
        self.state = State()
        self.running: Body | None = None  # the container that this action has brought up, as it was read back
        self.register = Register(engine, fence.target)
        self._hidden: set[str] = set()
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + deadline
        self._reading: Reading | None = None  # since which nothing was asked of the engine
        self._read_at = 0.0
        self._undo: Undo | None = None  # of the last call, until a look has told that it was still ours to make

    @property
    def host(self) -> str:
        return self.engine.host

    @property
    def left(self) -> float:
        """Seconds that are left of the action's deadline."""
        return max(0.05, self._until - self._now())

    def hide(self, values: Iterable[str]) -> None:
        """Secrets, which are taken out of whatever is recorded: labels can be read by all who may use the engine."""
        self._hidden.update(values)

    async def ask(self, function: "Callable[[docker.APIClient], T]") -> T:
        """A call that changes nothing."""
        self._reading = None
        return await self.engine.call(self.words, function, deadline=self.left)

    async def act(
        self,
        function: "Callable[[docker.APIClient], T]",
        *,
        ends_with_us: bool = False,
        beside: Callable[[State], State] | None = None,
        undo: Undo | None = None,
    ) -> T:
        """A call that changes something, right after a look whether this worker still may. Raises ``Fenced``.

        ``ends_with_us``: the engine stops it when nobody waits any more (a pull). It goes on with all else, and the next action on this
        connection waits for that before it looks: a container that starts after the look would run beside what is taken back.
        ``beside``: what is remembered at the same time, whether it succeeds or not. ``undo``: what takes the call back where the next
        look tells that a newer worker had come before it.
        """
        reading = self._just_read() or await self._checked(self.left)
        self._reading, self.state, self.touched = None, reading.state, True
        self._undo = undo
        call = self.engine.call if ends_with_us else self.engine.change
        going = call(self.words, function, deadline=self.left)
        try:
            if beside is None:
                return await going
            made, _ = await together(going, self._remember(beside, reading))
        except EngineRefused as error:
            if error.status < 500:
                self._undo = None  # nothing was changed by it
            raise
        self._reading = None  # it was read while the call was still under way
        return made

    async def check(self) -> None:
        """Whether this worker still may; the look counts for the call that comes right after it. Raises ``Fenced``."""
        self._has_read(await self._checked(max(_RECORDING, self.left)))

    async def _checked(self, deadline: float) -> Reading:
        async with self._or_taken_back():
            return await self.register.check(self.fence, self.words, deadline=deadline)

    @contextlib.asynccontextmanager
    async def _or_taken_back(self) -> AsyncIterator[None]:
        """A look at the register. Where a newer worker is seen, the last call may have come after that one had taken over."""
        try:
            yield
        except Fenced as fenced:
            undo, self._undo = self._undo, None
            if undo is not None:
                try:
                    await undo(await look(self.engine, self.fence.target, self.words, deadline=_RECORDING))
                except BackendError as error:
                    fenced.left = f"What its last call has changed may still be so: {error.problem}"
            raise
        self._undo = None

    def _just_read(self) -> Reading | None:
        """The look that was made right before: the call that comes next is as close to it as to one of its own."""
        return self._reading if self._now() - self._read_at <= _JUST_NOW else None

    def _has_read(self, reading: Reading) -> None:
        self._reading, self._read_at, self.state = reading, self._now(), reading.state

    async def act_if_there(
        self, function: "Callable[[docker.APIClient], object]", *fine: int, undo: Undo | None = None
    ) -> bool:
        """``act`` where it is as well when the thing is gone (404) or already is so (``fine``): whether it was done now."""
        try:
            await self.act(function, undo=undo)
        except EngineRefused as error:
            if error.status in (404, *fine):
                return False
            raise
        return True

    async def look(self) -> Seen:
        await self.engine.settled(self.left)
        seen = await look(self.engine, self.fence.target, self.words, deadline=self.left)
        if self.fence.epoch < seen.epoch:
            holder = seen.state.holder if seen.state.epoch == seen.epoch else ""
            async with self._or_taken_back():
                raise Fenced(self.host, self.words, epoch=self.fence.epoch, seen=seen.epoch, holder=holder)
        self._undo = None
        if seen.reading is not None:
            self._has_read(seen.reading)
        return seen

    async def inspect(self, container: str) -> Body | None:
        self._reading = None
        return await inspect(self.engine, self.words, container, deadline=self.left)

    async def find_image(self, reference: str) -> Body | None:
        self._reading = None
        return await find_image(self.engine, self.words, reference, deadline=self.left)

    async def others(self) -> tuple[Container, ...]:
        """What is no release's: see ``looking.others``."""
        self._reading = None
        return await others(self.engine, self.fence.target, self.words, deadline=self.left)

    async def remember(self, change: Callable[[State], State], floor: int = 0) -> None:
        """Writes what ``change`` makes of the state, begun with the look that was just made where there is one: it is compared anyway."""
        await self._remember(change, self._just_read(), floor)

    async def _remember(self, change: Callable[[State], State], reading: Reading | None, floor: int = 0) -> None:
        left = max(_RECORDING, self.left)  # also where the action itself has used up its time
        async with self._or_taken_back():
            after = await self.register.write(
                self.fence, self.words, change, deadline=left, floor=floor, reading=reading
            )
        if after is not reading:  # else nothing had to be written
            self._has_read(after)

    async def once(
        self,
        op_id: str,
        kind: str,
        action: Callable[[Seen], Awaitable[dict[str, Any]]],
        *,
        begun: bool = False,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """The outcome of ``action``, and whether it is the recorded one: an operation that has an outcome is not done again. The outcome
        of a failure is recorded as well, once anything was touched. ``begun``: it is also noted before it begins. ``beside``: what else
        is asked at the same time as the first look, and changes nothing."""
        seen = await self.look() if beside is None else (await together(self.look(), beside()))[0]
        record = seen.state.operations.get(op_id)
        if record is not None and "outcome" in record:
            return dict(record["outcome"]), True
        if record is not None and "error" in record:
            raise _recorded_error(self.host, self.words, record["error"])
        if (claim := self.claim(seen)) is not None:
            try:
                await self.remember(claim, seen.epoch)
            except NoSpace as error:  # nothing of the action itself was begun
                error.untouched, error.left = True, error.left or UNCHANGED
                raise
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
            # Told in any case; asked for again, it begins with what it finds.
            await self._unless_overtaken(
                self.remember(lambda now: now.with_operation(op_id, {"kind": kind, "error": failure}))
            )
            raise
        except BackendError as error:
            if not self.touched:
                error.untouched = True
                error.left = error.left or UNCHANGED
            else:
                await self._unless_overtaken(self.check())
            raise
        changes: Mapping[str, Any] = outcome.pop("state", {})
        shown = {**outcome, **({"output": self._masked(outcome["output"])} if "output" in outcome else {})}
        await self.remember(lambda now: replace(now, **changes).with_operation(op_id, {"kind": kind, "outcome": shown}))
        return outcome, False

    async def _unless_overtaken(self, asking: Awaitable[None]) -> None:
        """Where an action failed: that may be so because a newer worker is at work there. Raises ``Fenced`` and no other error."""
        try:
            await asking
        except Fenced as fenced:
            raise fenced from None
        except BackendError:
            return

    def _masked(self, text: str) -> str:
        return _end(Masker(self._hidden).mask(text))

    def claim(self, seen: Seen) -> Callable[[State], State] | None:
        """What is remembered before this worker's first change: whoever is older is refused from there on. None: it is so already."""
        state, current = seen.state, seen.current or ""
        wanted = state.wanted if self.wants is None else self.wants
        ours = (self.fence.epoch, self.fence.holder, self.fence.anchor, wanted)
        if (state.epoch, state.holder, state.anchor, state.wanted) == ours:
            return None
        return lambda now: replace(now, current=current, wanted=wanted)


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
