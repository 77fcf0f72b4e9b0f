"""How long ago a target's rollback was practised with success, for the rule that it must not be too long ago."""

from datetime import datetime
from typing import Any

import msgspec

from quarterdeck.history.journal import Journal


class DrillAge(msgspec.Struct, frozen=True):
    """``seconds`` None: never. ``possible``: whether there is a rollback that could have been practised."""

    possible: bool
    seconds: float | None = None

    def too_old(self, most: float) -> bool:
        return self.possible and (self.seconds is None or self.seconds > most)

    @property
    def words(self) -> str:
        if self.seconds is None:
            return "its rollback was never practised" if self.possible else "there is no rollback to practise yet"
        days, rest = divmod(int(self.seconds), 86400)
        return f"its rollback was practised {f'{days} d' if days else f'{rest // 3600} h'} ago"

    def value(self, most: float) -> dict[str, Any]:
        """As the plan holds it. ``most``: seconds that it may be old."""
        return {"seconds": self.seconds, "most": most, "words": self.words, "too_old": self.too_old(most)}


def drill_age(reader: Journal, target: str, at: datetime) -> DrillAge:
    """As it is at that moment, by this machine's clock."""
    current = reader.current_release(target)
    possible = current is not None and reader.last_good(target, other_than=current) is not None
    last = reader.drilled(target)
    if last is None:
        return DrillAge(possible)
    return DrillAge(possible, max((at - datetime.fromisoformat(last.ended)).total_seconds(), 0.0))
