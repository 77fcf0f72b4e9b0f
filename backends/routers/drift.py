"""Compares what a router was told with what it says: whatever somebody changed there by hand is named. Pure."""

from collections.abc import Mapping

import msgspec

from quarterdeck.backends.routers.contract import FULL, MatchRule, RouterState, Server, Slot


class WantedSlot(msgspec.Struct, frozen=True):
    release: str = ""
    servers: tuple[Server, ...] = ()


class Wanted(msgspec.Struct, frozen=True):
    """The state that the last change left behind."""

    share: int
    rules: tuple[MatchRule, ...]
    slots: Mapping[Slot, WantedSlot]


def wanted_of(state: RouterState) -> Wanted:
    """What must still hold later, of a state that was read after a change."""
    slots = {slot: WantedSlot(found.release, found.ready) for slot, found in state.slots.items()}
    return Wanted(state.share, tuple(sorted(state.rules)), slots)


def drift(wanted: Wanted, found: RouterState) -> tuple[str, ...]:
    """Each difference in words; what the router calls unhealthy is none of them, nobody changed that."""
    told = list(found.problems)
    if wanted.share != found.share:
        told.append(f"green gets {_percent(found.share)}, not {_percent(wanted.share)}")
    for rule in sorted(set(wanted.rules) - set(found.rules)):
        told.append(f"the rule {_rule(rule)} is missing")
    for rule in sorted(set(found.rules) - set(wanted.rules)):
        told.append(f"the rule {_rule(rule)} was added")
    for slot in Slot:
        mine, theirs = wanted.slots.get(slot, WantedSlot()), found.slots[slot]
        if mine.release != theirs.release:
            told.append(f"{slot} is said to be {theirs.release or 'empty'}, not {mine.release or 'empty'}")
        for server in sorted(set(mine.servers) - set(theirs.ready)):
            told.append(f"{server} is not in service in {slot}")
        for server in sorted(set(theirs.ready) - set(mine.servers)):
            told.append(f"{server} was put in service in {slot}")
    return tuple(told)


def _percent(share: int) -> str:
    return f"{share * 100 / FULL:g} %"


def _rule(rule: MatchRule) -> str:
    return f"{rule.on} {rule.value} → {rule.slot}"
