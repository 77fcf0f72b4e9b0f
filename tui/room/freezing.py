"""What freezes the environments of the room's fleet, as a span, a banner and lines. Pure but for what it remembers within a minute."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.rollouts.freezes import Frozen, Window, frozen_at, in_zone, next_freeze, zone_of
from quarterdeck.rollouts.frozen import Standing, by_hand
from quarterdeck.tui.room.rows import Role, Row, Span, cells, ellipsis

if TYPE_CHECKING:
    from quarterdeck.config.freezes import Freeze
    from quarterdeck.config.model import Environment
    from quarterdeck.rollouts.picture.fleet import Picture

NONE: Final = Span("freeze: none")


def standing_of(environment: "Environment", picture: "Picture", now: datetime) -> Standing:
    """How it stands: to the minute, and at once when somebody froze it or ended that."""
    windows = tuple(by_hand(picture.around.freezes, environment.name))
    if not environment.freezes and not windows:
        return Standing(environment.name, None, None)
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    begun = [window.start for window in windows if minute < window.start <= now]  # made within this minute
    return _standing(environment.name, environment.freezes, windows, max(begun, default=minute))


@lru_cache(maxsize=256)
def _standing(name: str, freezes: "tuple[Freeze, ...]", windows: tuple[Window, ...], at: datetime) -> Standing:
    return Standing(name, frozen_at(freezes, windows, at), next_freeze(freezes, windows, at))


def frozen_environments(
    environments: "Mapping[str, Environment]", picture: "Picture", now: datetime
) -> list[tuple[str, Frozen]]:
    """Those that are frozen now, production first."""
    found = []
    for name in reversed(picture.environments):
        environment = environments.get(name)
        if environment is not None and (frozen := standing_of(environment, picture, now).now) is not None:
            found.append((name, frozen))
    return found


def header_span(frozen: Sequence[tuple[str, Frozen]], *, wide: bool, room: int = 1000) -> Span:
    """``freeze: production``, ``freeze: production +1``; ``wide``: with its end. Where ``room`` has fewer columns ``# PROD``: what
    is frozen gives way last."""
    if not frozen:
        return NONE
    name, first = frozen[0]
    until = ""
    if wide and first.until is not None:
        until = f" until {first.until.astimezone(UTC):%a %H:%MZ}"
    more = f" +{len(frozen) - 1}" if len(frozen) > 1 else ""
    whole = f"freeze: {name}{until}{more}"
    return Span(whole if cells(whole) <= room else f"# {name[:4].upper()}{more}", Role.FROZEN)


def banner_row(frozen: Sequence[tuple[str, Frozen]], production: str, width: int, keys: str) -> Row:
    """``# PRODUCTION is frozen until Mon … : weekend      F windows``; nothing where nothing is."""
    if not frozen:
        return ()
    name, first = frozen[0]
    tail = f"  {keys} " + (f"(+{len(frozen) - 1} more) " if len(frozen) > 1 else "")
    head = f"# {name.upper() if name == production else name} is frozen {' '.join(clean(first.words).split())}"
    room = max(width - cells(tail), 0)
    return Span(ellipsis(head, room).ljust(room), Role.FROZEN), Span(tail[:width], Role.FROZEN)


def freeze_words(environment: "Environment | None", picture: "Picture", now: datetime) -> str:
    """For a line of a card: what freezes the environment; empty: nothing."""
    frozen = standing_of(environment, picture, now).now if environment is not None else None
    return f"frozen {' '.join(clean(frozen.words).split())}" if frozen is not None else ""


def window_words(window: Window) -> str:
    """``Fri 2026-12-04 16:00 to Mon 2026-12-07 08:00 Europe/Berlin (07:00Z): weekend``."""
    start = window.start.astimezone(zone_of(window.zone))
    end = in_zone(window.end, window.zone) if window.end is not None else "when somebody ends it"
    return f"{start:%a %Y-%m-%d %H:%M} to {end}" + (f": {window.reason}" if window.reason else "")
