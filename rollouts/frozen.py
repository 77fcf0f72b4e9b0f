"""What freezes an environment: the windows of the fleet file, and what somebody froze by hand, as the journal has it. Asks the clock of
this machine, and nobody else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from quarterdeck.config.freezes import Freeze
from quarterdeck.config.model import Environment
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import MadeFreeze
from quarterdeck.rollouts.freezes import Frozen, Window, frozen_at, next_freeze


class Standing(msgspec.Struct, frozen=True):
    """How an environment stands: what freezes it now (None: nothing), and what will next."""

    environment: str
    now: Frozen | None
    next: Window | None


def by_hand(made: Sequence[MadeFreeze], environment: str) -> list[Window]:
    """The windows of freezes that somebody made of ``environment``."""
    return [
        Window(
            datetime.fromisoformat(one.since),
            datetime.fromisoformat(one.until) if one.until is not None else None,
            "UTC",
            one.reason,
            f"by {one.by}",
            one.id,
        )
        for one in made
        if one.environment == environment
    ]


def frozen_now(
    journal: Journal, environment: str, freezes: Sequence[Freeze], at: datetime | None = None
) -> Frozen | None:
    """What freezes it at this moment (``at``: at another)."""
    return frozen_at(freezes, by_hand(journal.made_freezes(environment), environment), at or datetime.now(UTC))


def standings(environments: Mapping[str, Environment], made: Sequence[MadeFreeze], at: datetime) -> dict[str, Standing]:
    """Of every environment, in the order of the fleet file."""
    found = {}
    for name, environment in environments.items():
        windows = by_hand(made, name)
        freezes = environment.freezes
        found[name] = Standing(name, frozen_at(freezes, windows, at), next_freeze(freezes, windows, at))
    return found


def window_value(window: Window) -> dict[str, Any]:
    """A window as JSON."""
    return {
        "from": iso(window.start),
        "to": iso(window.end),
        "zone": window.zone,
        "reason": window.reason,
        "declared": window.words,
        "freeze": window.by_hand,
    }


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 UTC, as everywhere in JSON."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
