"""The object of Caddy's configuration for a service, made of a plan, and the plan found in it again. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quarterdeck.backends.routers.contract import FULL, MatchOn, MatchRule, Server, Slot
from quarterdeck.backends.routers.whole import Plan, Written, read_plan
from quarterdeck.config.routers import Routed

Object = dict[str, Any]

PERCENT: Final = FULL // 100
_PLAN: Final = "qd_plan"
_LONGEST: Final = 600  # entries of a list of upstreams: with more, servers of a slot get their turns less evenly


def object_id(routed: Routed) -> str:
    return f"qd_{routed.service}"


def render(routed: Routed, plan: Plan) -> Object:
    """A subroute: the plan as a variable that nothing reads but us, who is waited for, rules, share."""
    routes: list[Object] = [{"handle": [{"handler": "vars", _PLAN: plan.shown()}]}]
    everybody = sorted({server for slot in plan.slots.values() for server in (*slot.servers, *slot.leaving)})
    if everybody:
        # Never matched: Caddy goes on telling how many requests these have.
        routes.append({"match": [{"expression": "false"}], "handle": [_proxy(routed, everybody)]})
    for rule in sorted(plan.rules, key=lambda rule: (rule.on is MatchOn.COOKIE, rule.value)):
        servers = plan.slots[rule.slot].servers or plan.slots[rule.slot.other].servers
        routes.append({"match": [_match(routed, rule)], "handle": [_answer(routed, servers)], "terminal": True})
    routes.append({"handle": [_answer(routed, upstreams(plan))]})
    return {"@id": object_id(routed), "handler": "subroute", "routes": routes}


def parse(routed: Routed, found: Mapping[str, Any]) -> Written | None:
    """None: it is none of ours."""
    try:
        text = found["routes"][0]["handle"][0][_PLAN]
    except (KeyError, IndexError, TypeError):
        return None
    plan = read_plan(text) if isinstance(text, str) else None
    if plan is None:
        return None
    by_hand = () if found == render(routed, plan) else (f"the object {object_id(routed)} was changed by hand",)
    return Written(plan, by_hand)


def upstreams(plan: Plan) -> list[Server]:
    """Each as often as its slot's share wants, in turn: of 5 % and 95 %, 1 of 20 is green's. Caddy 2.6 knows no weights."""
    blue, green = (plan.slots[slot].servers for slot in (Slot.BLUE, Slot.GREEN))
    if not blue or not green or plan.share in (0, FULL):
        chosen = green if plan.share == FULL else blue
        return list(chosen or blue or green)
    percent = plan.share // PERCENT
    divisor = math.gcd(percent, 100)
    of_green, total = percent // divisor, 100 // divisor
    even = math.lcm(len(green) // math.gcd(len(green), of_green), len(blue) // math.gcd(len(blue), total - of_green))
    count = total * (even if total * even <= _LONGEST else 1)
    turns: list[Server] = []
    greens = 0
    for turn in range(count):
        if (turn + 1) * of_green // total > greens:
            turns.append(green[greens % len(green)])
            greens += 1
        else:
            turns.append(blue[(turn - greens) % len(blue)])
    return turns


def _answer(routed: Routed, servers: Sequence[Server]) -> Object:
    return _proxy(routed, servers) if servers else {"handler": "static_response", "status_code": 503}


def _proxy(routed: Routed, servers: Sequence[Server]) -> Object:
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": str(server)} for server in servers],
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            "try_duration": "2s",
            "try_interval": "20ms",
        },
        "health_checks": {
            "active": {"uri": routed.check, "interval": "500ms", "timeout": "2s"},
            "passive": {"fail_duration": "1s", "max_fails": 1},
        },
    }


def _match(routed: Routed, rule: MatchRule) -> Object:
    if rule.on is MatchOn.HEADER:
        return {"header": {routed.header: [rule.value]}}
    value = rule.value.replace(".", "[.]")
    return {"header_regexp": {"Cookie": {"pattern": f"(^|; *){routed.cookie}={value}($|;)"}}}
