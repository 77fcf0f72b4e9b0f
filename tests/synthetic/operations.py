"""What a synthetic host can be asked, how long that takes, and what can go wrong with it."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    CONNECT = "connect"
    LOOK = "look"  # facts, vitals, figures, lines of logs
    STAGE = "stage"
    SWITCH = "switch"  # also retire, withdraw, clear, hooks
    HEALTH = "health"
    FINISH = "finish"


class Trouble(StrEnum):
    REFUSED = "refused"  # nobody listens there
    SILENT = "silent"  # never answers
    FAILS = "fails"  # answers at once that a command of it ended with 7
    CUT = "cut"  # the connection is lost after the host has done it


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds, and up to how many of them more or less."""

    seconds: float = 0.0
    spread: float = 0.0

    def drawn(self, chance: random.Random) -> float:
        return max(0.0, self.seconds + chance.uniform(-self.spread, self.spread))


@dataclass(slots=True)
class Crowd:
    """How many are in the middle of an operation, and the most that ever were; how many there were in all."""

    now: int = 0
    most: int = 0
    total: int = 0
