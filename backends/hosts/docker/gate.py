"""The gate: nothing changes on an engine for a target but through it. Never for an old epoch, never twice for the same operation.

What an SSH host's lock does in one command is a check before each call here: see ``register`` for the window between, and ``overtaken``
for what is done where a newer worker came in that window. A look that has just been made for something else is such a check too, as long
as nothing was asked of the engine since."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from quarterdeck.backends.errors import BackendError, EngineRefused, Fenced
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.looking import Body, Container, Seen, find_image, inspect, look, others, together
from quarterdeck.backends.hosts.docker.operation import Operation
from quarterdeck.backends.hosts.docker.overtaken import Undo
from quarterdeck.backends.hosts.docker.register import Reading, Register, State

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

T = TypeVar("T")
_RECORDING: Final = 5.0  # seconds
_ENDING: Final = 5.0  # seconds for the engine to kill what does not end by itself
_JUST_NOW: Final = 0.05  # seconds in which a look counts for what comes right after it


class Gate(Operation[Seen]):
    """See ``Operation``; each call that changes something comes right after a look whether this worker still may."""

    def __init__(
        self, engine: "Engine", fence: Fence, words: str, deadline: float, *, wants: str | None = None
    ) -> None:
        super().__init__(engine.host, fence, words, wants)
        self.engine = engine
        self.state = State()
        self.running: Body | None = None  # the container that this action has brought up, as it was read back
        self.register = Register(engine, fence.target)
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + deadline
        self._reading: Reading | None = None  # since which nothing was asked of the engine
        self._read_at = 0.0
        self._undo: Undo | None = None  # of the last call, until a look has told that it was still ours to make

    @property
    def left(self) -> float:
        """Seconds that are left of the action's deadline."""
        return max(0.05, self._until - self._now())

    def give(self, seconds: float) -> None:
        """On top of the deadline: what a container may take to stop is its own to say."""
        self._until = max(self._until, self._now()) + seconds + _ENDING

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
