"""What a plan needs to know of the router in front of a target: which slot a release belongs in, and who serves meanwhile. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.backends.routers.contract import (
    FULL,
    MatchOn,
    MatchRule,
    Mode,
    RouterState,
    Server,
    ServerState,
    Slot,
    SlotState,
)
from quarterdeck.backends.routers.drift import Wanted, WantedSlot
from quarterdeck.rollouts.plans.plan import HostNow


class Traffic(msgspec.Struct, frozen=True):
    """Of one target, as the router was seen while a rollout was armed.

    ``slot`` is where the release goes, ``stable`` whether the other slot has servers in service. ``inside``: the addresses of the hosts
    that are in service in ``slot`` already. ``share`` is what ``slot`` gets, in percent; ``rules``: whether match rules are set.
    """

    router: str  # as the fleet file writes it: edge/api
    slot: str
    stable: bool = False
    inside: frozenset[str] = frozenset()
    share: float = 0.0
    rules: bool = False
    certain: bool = True  # False: by the journal alone, as the router did not answer
    back_to: float | None = None  # percent that ``slot`` gets again when a rollout is taken back; None: all
    others: int = 0  # hosts of the target that the rollout is not about, and …
    others_inside: int = 0  # … those of them that are in service in ``slot``


def traffic_of(router: str, state: RouterState, release: str, leaving: str | None) -> Traffic:
    """``leaving``: the release that serves now, where it is known; whatever else the router has is left to its slot."""
    slot = slot_for(state, release, leaving)
    found = state.slots[slot]
    return Traffic(
        router,
        str(slot),
        stable=bool(state.slots[slot.other].ready),
        inside=frozenset(server.address for server in found.ready) if found.release == release else frozenset(),
        share=state.share_of(slot) * 100 / FULL,
        rules=bool(state.rules),
    )


def slot_for(state: RouterState, release: str, leaving: str | None) -> Slot:
    """Where it is already; else the slot in which neither the release that serves nor most of the requests are."""
    for slot in Slot:
        if state.slots[slot].release == release and state.slots[slot].servers:
            return slot
    serving = Slot.GREEN if state.share_of(Slot.GREEN) > state.share_of(Slot.BLUE) else Slot.BLUE
    if not any(state.slots[slot].servers for slot in Slot):
        return serving  # nobody is there: the first one takes what is given already
    for slot in Slot:
        if leaving is not None and state.slots[slot].release == leaving and state.slots[slot].ready:
            return slot.other
    return serving.other if state.slots[serving].ready else serving


def carried(percent: float, planned: int, live: int) -> float:
    """What a slot gets where ``planned`` servers were to carry ``percent`` and ``live`` are there: none of them more than was planned."""
    return percent * min(live, planned) / planned if 0 < percent < 100 and planned > 0 else percent


def shown(state: RouterState) -> dict[str, Any]:
    """As JSON, for the journal and for cards: what the last change left behind."""
    return {
        "share": state.share,
        "rules": [[str(rule.on), rule.value, str(rule.slot)] for rule in state.rules],
        "slots": {
            str(slot): {"release": found.release, "servers": [str(server) for server in found.ready]}
            for slot, found in state.slots.items()
        },
    }


def as_state(wanted: Wanted) -> RouterState:
    """As if the router still said what it said after the last change."""
    slots = {
        slot: SlotState(one.release, tuple(ServerState(server, Mode.READY, None) for server in one.servers))
        for slot, one in wanted.slots.items()
    }
    return RouterState(wanted.share, wanted.rules, slots)


def journalled(body: Mapping[str, Any]) -> Wanted:
    """Read back from ``shown``."""
    return Wanted(
        int(body["share"]),
        tuple(MatchRule(MatchOn(on), value, Slot(slot)) for on, value, slot in body["rules"]),
        {
            slot: WantedSlot(one["release"], tuple(Server.parse(text) for text in one["servers"]))
            for slot, one in ((slot, body["slots"][str(slot)]) for slot in Slot)
        },
    )


def twins(hosts: Sequence[HostNow]) -> str:
    """Two hosts that a router can't tell apart, as it does so by their addresses, in words; empty: there are none."""
    known: dict[str, str] = {}
    for host in hosts:
        other = known.setdefault(host.address, host.host) if host.address else host.host
        if other != host.host:
            return (
                f"{other} and {host.host} are both reached at {host.address}, and a router can't tell them apart: say the `address` of "
                "each in the fleet file"
            )
    return ""
