"""Routers in words: who gets how many of the requests, what a step does about it, what a plan finds there. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.rollouts.picture.router import RouterSeen, SideSeen
from quarterdeck.rollouts.version_words import version_of

ROUTED: Final = frozenset({"share", "route"})
"""Actions of steps (see plans.steps.Action) that change the router alone: no host stands behind them."""
_ROUTER: Final = "router"


def place_words(host: str, action: str) -> str:
    """Where a step does something: of those that change a router no host is told."""
    return _ROUTER if action in ROUTED else host


def step_words(action: str, body: Mapping[str, Any], *, done: bool = False) -> str:
    """``25 % of the requests to v2``, ``header beta to v2``, ``old instance stopped``; empty for a step that has nothing to do with a
    router. ``body``: the step's."""
    to = version_of(str(body.get("release") or "")) or str(body.get("slot", ""))
    match action:
        case "share":
            return f"{percent(float(body.get('percent') or 0))} of the requests to {to}"
        case "route":
            rules = [f"{on} {clean(str(value))}" for on, value, *_ in body.get("rules") or ()]
            return f"{', '.join(rules)} to {to}" if rules else "no rules any more"
        case "retire":
            return "old instance stopped" if done else "stop the old instance"
    return ""


def outcome_words(action: str, outcome: Mapping[str, Any]) -> str:
    """What came of a step that changed the router; empty for all else."""
    if action not in ROUTED:
        return ""
    parts = []
    if outcome.get("waits"):
        parts.append(str(outcome["waits"]))
    elif "percent" in outcome:
        parts.append(f"{percent(float(outcome['percent']))} of the requests")
        if short := short_words(outcome):
            parts.append(short)
    elif "rules" in outcome:
        count = int(outcome["rules"])
        parts.append(f"{count} rule{'s' if count != 1 else ''}" if count else "no rules")
    if outcome.get("already"):
        parts.append("as it was already")
    if outcome.get("unsaved"):
        parts.append(f"a restart of the router would forget it: {outcome['unsaved']}")
    return ", ".join(parts)


def short_words(outcome: Mapping[str, Any]) -> str:
    """Of a share that is less than was planned; empty: it is not."""
    if "live" not in outcome:
        return ""
    got, planned = percent(float(outcome["percent"])), percent(float(outcome["planned"]))
    return f"{got} in place of {planned}, as {outcome['live']} of {outcome['servers']} servers are there"


def percent(value: float) -> str:
    """``25 %``, ``0.05 %``."""
    return f"{value:.4g} %"


def first_new(sides: Iterable[SideSeen], new: str | None) -> list[SideSeen]:
    """The release that is coming before the one that serves."""
    return sorted(sides, key=lambda side: (side.release != new, -side.percent)) if new else list(sides)


def requests_words(seen: RouterSeen, *, idle: bool = True) -> str:
    """``v2 25 %, v1 75 %; header beta to v2``. ``idle``: with those that get nothing."""
    shown = [side for side in seen.sides if idle or side.percent]
    shares = ", ".join(f"{side_name(seen, side)} {percent(side.percent)}" for side in shown) or "nobody"
    rules = rules_words(seen)
    return f"{shares}; {rules}" if rules else shares


def side_name(seen: RouterSeen, side: SideSeen) -> str:
    """The version; with the slot where the version does not tell which, or where what is said of the router speaks of slots."""
    alone = sum(other.name == side.name for other in seen.sides) == 1
    return side.name if alone and (not seen.changed or side.name == side.slot) else f"{side.name} ({side.slot})"


def rules_words(seen: RouterSeen) -> str:
    return ", ".join(f"{on} {value} to {seen.named(slot)}" for on, value, slot in seen.rules)


def plan_words(router: Mapping[str, Any], version: str) -> str:
    """Of an armed plan's ``router``: how requests go now, or why that is not known."""
    name = router.get("name")
    if error := router.get("error"):
        return f"router {name} can't be asked, so hosts go without it where they must: {error}"
    if router.get("slot") is None:
        return f"router {name}: nothing is known of it yet"
    return f"router {name}: {version or router['slot']} gets {percent(float(router.get('share') or 0))} of the requests now"
