"""One action of one worker on one target, done at most once: who is older is refused, and what came of it is recorded where the target's
hosts remember things, so that asking again answers the same. Knows neither containers nor services."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Generic, Protocol, TypeVar

from quarterdeck.backends.errors import (
    BackendError,
    CommandFailed,
    CommandTimedOut,
    Fenced,
    NoSpace,
    Unreachable,
)
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.looking import together
from quarterdeck.backends.hosts.docker.register import State
from quarterdeck.backends.secrets.masking import Masker

_OUTPUT_RECORDED: Final = 4096  # characters: all outcomes lie in one label, which is read before every change
_NOT_KEPT: Final = "what it said is not kept on the host, as it may hold a secret"
UNCHANGED: Final = "Nothing was changed there"


class Remembered(Protocol):
    """What a look gives: what is remembered there, the highest epoch that was seen, and what is current."""

    @property
    def state(self) -> State: ...

    @property
    def epoch(self) -> int: ...

    @property
    def current(self) -> str | None: ...


S = TypeVar("S", bound=Remembered)


def _for_ever(seen: Remembered, outcome: Mapping[str, Any]) -> bool:  # noqa: ARG001 # of the shape that ``once`` asks
    """What was recorded holds, whatever is there."""
    return True


class Operation(ABC, Generic[S]):
    """``words``: the action in errors; ``wants``: the release that it is to put there, "" where it puts none there, None where it is about
    something else."""

    def __init__(self, host: str, fence: Fence, words: str, wants: str | None) -> None:
        self.host = host
        self.fence = fence
        self.words = words
        self.wants = wants
        self.touched = False
        self._hidden: set[str] = set()
        self._all_known = True  # the values of all secrets that a process of the release could say

    @abstractmethod
    async def look(self) -> S:
        """What is there now. Raises ``Fenced`` where a newer worker has been there."""

    @abstractmethod
    async def check(self) -> None:
        """Whether this worker still may. Raises ``Fenced``."""

    @abstractmethod
    async def remember(self, change: Callable[[State], State], floor: int = 0) -> None:
        """Writes what ``change`` makes of the state. ``floor``: an epoch seen elsewhere. Raises ``Fenced``."""

    async def claimed(self, seen: S) -> S:
        """What else is done before the first change, once older workers are refused; and what is there then."""
        return seen

    def hide(self, values: Iterable[str]) -> None:
        """Secrets, which are taken out of whatever is recorded: labels can be read by all who may use the engine."""
        self._hidden.update(values)

    def keep_no_words(self) -> None:
        """Of a secret that processes have nobody here knows the value: nothing that they say is recorded, for it can't be taken out."""
        self._all_known = False

    async def once(
        self,
        op_id: str,
        kind: str,
        action: Callable[[S], Awaitable[dict[str, Any]]],
        *,
        begun: bool = False,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
        stands: Callable[[S, Mapping[str, Any]], bool] = _for_ever,
    ) -> tuple[dict[str, Any], bool]:
        """The outcome of ``action``, and whether it is the recorded one: an operation that has an outcome is not done again. The outcome
        of a failure is recorded as well, once anything was touched. ``begun``: it is also noted before it begins. ``beside``: what else
        is asked at the same time as the first look, and changes nothing. ``stands``: whether a recorded outcome still tells what is there;
        where it does not, the operation is done again."""
        seen = await self.look() if beside is None else (await together(self.look(), beside()))[0]
        record = seen.state.operations.get(op_id)
        if record is not None and "outcome" in record and stands(seen, record["outcome"]):
            return dict(record["outcome"]), True
        if record is not None and "error" in record:
            raise _recorded_error(self.host, self.words, record["error"])
        if (claim := self.claim(seen)) is not None:
            try:
                await self.remember(claim, seen.epoch)
            except NoSpace as error:  # nothing of the action itself was begun
                error.untouched, error.left = True, error.left or UNCHANGED
                raise
        seen = await self.claimed(seen)
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
        return _end(Masker(self._hidden).mask(text)) if self._all_known or not text else _NOT_KEPT

    def claim(self, seen: S) -> Callable[[State], State] | None:
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
