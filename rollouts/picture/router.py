"""How the router in front of a target was last seen: who gets how many of the requests, and what somebody changed there by hand. Values for
pictures, made from the journal alone; a first paint has time for them."""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import Event, Observation
from quarterdeck.rollouts.version_words import version_of

SLOTS: Final = ("blue", "green")
_FULL: Final = 10_000


class SideSeen(msgspec.Struct, frozen=True):
    """A slot. ``percent``: of all requests, as far as no rule says otherwise; ``live``: servers that get some, of ``servers`` in service.

    ``per_second`` and ``failing``: requests, and those of them that failed, between the last two looks; None: the router does not count.
    """

    slot: str
    release: str
    version: str
    percent: float
    servers: int
    live: int
    per_second: float | None = None
    failing: float | None = None

    @property
    def name(self) -> str:
        """Of what lives there; the slot's own where that is not known."""
        return self.version or self.slot


class RouterSeen(msgspec.Struct, frozen=True):
    """``name``: as the fleet file writes it (edge/api). ``seen``: ISO 8601 UTC, None: never. ``sides``: those that somebody is in, or that
    get requests, the one with the most first. ``rules``: header or cookie, its value, the slot. ``changed``: in words. ``error``: why it
    can't be asked now; all else is then as it was at ``seen``."""

    name: str
    seen: str | None = None
    sides: tuple[SideSeen, ...] = ()
    rules: tuple[tuple[str, str, str], ...] = ()
    changed: tuple[str, ...] = ()
    error: str | None = None

    @property
    def plain(self) -> bool:
        """Whether one release gets everything: nothing about it is news."""
        return len(self.sides) <= 1 and not self.rules

    def named(self, slot: str) -> str:
        """Who lives in the slot."""
        return next((side.name for side in self.sides if side.slot == slot), slot)


def router_seen(look: Observation | None, told: Event | None) -> RouterSeen | None:
    """``look``: the router's row; ``told``: the last event ``routed`` of the target. The later one says how requests go, where a rollout
    has changed something since the look. None: nothing is known."""
    body: Mapping[str, Any] = look.body if look is not None else {}
    newer = told is not None and int(body.get("seq", -1)) < told.seq
    error = clean(look.error) if look is not None and look.error is not None else None
    if newer and told is not None:
        with contextlib.suppress(
            TypeError, ValueError, AttributeError, KeyError
        ):  # written by another version: the look is left
            sides, rules = _sides(told.body, {}), _rules(told.body)
            return RouterSeen(str(told.body["router"]), told.time, sides, rules, error=error)
    if look is None:
        return None
    name = str(body.get("router", ""))
    if body.get("never"):
        return RouterSeen(name, error=error)
    changed = tuple(clean(str(words)) for words in body.get("drift", ())) if error is None else ()
    counted = body.get("counted") or {} if error is None else {}
    return RouterSeen(name, look.time, _sides(body, counted), _rules(body), changed, error)


def _sides(body: Mapping[str, Any], counted: Mapping[str, Any]) -> tuple[SideSeen, ...]:
    green = int(body.get("share", 0))
    found = []
    for slot, of_all in zip(SLOTS, (_FULL - green, green), strict=True):
        one = (body.get("slots") or {}).get(slot) or {}
        servers = len(one.get("servers") or ())
        release = str(one.get("release") or "")
        if not servers and not release:
            continue
        rates = counted.get(slot) or {}
        found.append(
            SideSeen(
                slot,
                release,
                version_of(release) or "",
                of_all * 100 / _FULL,
                servers,
                int(one.get("live", servers)),
                rates.get("per_second"),
                rates.get("failing"),
            )
        )
    shown = [side for side in found if side.servers or side.percent or not any(one.servers for one in found)]
    return tuple(sorted(shown, key=lambda side: -side.percent))


def _rules(body: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    return tuple((str(on), clean(str(value)), str(slot)) for on, value, slot in body.get("rules") or ())
