"""How long tasks that run may be unwell before their update is given up. Pure: times are handed in, in seconds of one clock."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

_LOOKED_AWAY: Final = 2.0  # seconds from one look to the next where managers answer


@dataclass(slots=True)
class Patience:
    """Each task has its own: it begins when the task is first seen to run, or is not well any more. What nobody could see counts for
    nothing: while managers hang, or choose a leader, a task may have become well and ill again."""

    seconds: float
    _ill: dict[str, float] = field(default_factory=dict)  # since when, by task
    _looked: float | None = None  # when the last look had ended

    def look(self, now: float) -> None:
        """Tasks were told; their health is asked for next."""
        if self._looked is not None and (away := now - self._looked) > _LOOKED_AWAY:
            self._ill = {task: since + away for task, since in self._ill.items()}

    def saw(self, running: Collection[str], well: Collection[str], now: float) -> None:
        """What that look has found: ids of those that run, and of them those that are well."""
        self._ill = {task: self._ill.get(task, now) for task in running if task not in well}
        self._looked = now

    def begin_anew(self, now: float) -> None:
        """Something came forward: those that are not well may have waited for it."""
        self._ill = dict.fromkeys(self._ill, now)

    def is_over(self, now: float) -> bool:
        """Whether one of them has not been well for longer than that."""
        return any(now - since > self.seconds for since in self._ill.values())
