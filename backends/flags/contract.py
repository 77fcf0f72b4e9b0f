"""What a feature flag can be asked for: how many percent get it, and to set that. Every implementation passes the same contract tests
(tests/backends/flags/). A flag is told and answers: it knows no rollout."""

from typing import Final, Protocol

import msgspec

UNCHANGED: Final = "The flag was not changed"
UNKNOWN: Final = "Whether the flag was changed is not known"
UNREAD: Final = (
    "Nothing was written: somebody may have switched it off, and unread it might have been raised to {percent:g} %"
)
NEAR: Final = 0.01  # percent: two shares that differ by less are the same one


class FlagState(msgspec.Struct, frozen=True):
    """Read from where the flag is. ``percent``: of those who are asked about it, as its share says; ``enabled`` False: it is switched off
    as a whole, and nobody gets it. ``problems``: why that is not all there is to say of it, in words, such as hosts that differ."""

    percent: float
    enabled: bool = True
    problems: tuple[str, ...] = ()

    @property
    def reaches(self) -> float:
        """How many percent get it."""
        return self.percent if self.enabled else 0.0

    def is_at(self, percent: float, *, enabled: bool = True) -> bool:
        """Whether this is so, with nothing else to say of it."""
        return not self.problems and self.enabled == enabled and abs(self.percent - percent) < NEAR

    @property
    def words(self) -> str:
        """``5 %``, ``5 %, switched off``."""
        return f"{self.percent:g} %" + ("" if self.enabled else ", switched off")


class FlagChanged(msgspec.Struct, frozen=True):
    """``state`` was read after the change. ``already``: there was nothing to do."""

    before: FlagState
    state: FlagState
    already: bool
    seconds: float


class FlagConnection(Protocol):
    """One flag. Every call ends within its ``deadline`` (seconds; None: what the fleet file says) and keeps nothing open.

    Raises ``Unreachable`` and its kinds, ``NotPermitted``, ``FlagRefused``, ``NotReadBack``, ``CommandFailed``, ``SecretUnavailable``;
    ``host`` of all of them names the flag and where it is. ``untouched`` of an error: it was raised before anything could be changed.
    """

    @property
    def name(self) -> str:
        """``flag checkout on web-1``."""
        ...

    async def read(self, *, deadline: float | None = None) -> FlagState:
        """Changes nothing."""
        ...

    async def set(
        self, percent: float, *, enabled: bool = True, force: bool = False, deadline: float | None = None
    ) -> FlagChanged:
        """Looks first whether it is so already; reads back. What can't be told in percent is refused, unless with ``force``: then a
        share takes its place."""
        ...

    async def lower(self, percent: float, *, enabled: bool = True, deadline: float | None = None) -> FlagChanged:
        """As ``set``, and never up: where no more people get it than that already, it is left as it is. What can't be told in percent is
        taken down to 0. Where it can't be read nothing is written that could raise it, so nothing at all unless nobody is to get it; that
        is raised, with ``UNREAD``. A flag that is in several places is taken down in each that can be read, before that is raised."""
        ...

    async def off(self, *, deadline: float | None = None) -> FlagChanged:
        """The kill switch: nobody gets it any more, whatever was there."""
        ...
