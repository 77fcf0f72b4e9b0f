"""The file that nginx includes for a service, made of a plan, and the plan found in it again. Pure."""

import hashlib
import re
import zlib
from collections.abc import Sequence
from typing import Final

from quarterdeck.backends.routers.contract import FULL, MatchOn, MatchRule, Server, Slot
from quarterdeck.backends.routers.whole import Plan, Written, read_plan
from quarterdeck.config.routers import Routed

_MARK: Final = "# Quarterdeck writes this file; what is changed by hand is lost. "
_NOBODY: Final = "127.0.0.1:9 down"


def variable(routed: Routed, what: str) -> str:
    """``qd_api_slot``. Names of variables have no dots and dashes: whoever has some gets a number behind its name."""
    name = re.sub(r"\W", "_", routed.service)
    if name != routed.service:
        name += f"_{zlib.crc32(routed.service.encode()):08x}"
    return f"qd_{name}_{what}"


def generation(routed: Routed, plan: Plan) -> str:
    """Names what nginx runs once it has loaded the file; servers that are only waited for make no difference."""
    return hashlib.sha256(_rules_of_traffic(routed, plan).encode()).hexdigest()[:12]


def render(routed: Routed, plan: Plan) -> str:
    body = _rules_of_traffic(routed, plan)
    state = variable(routed, "state")
    return f'{_MARK}{plan.shown()}\n{body}map $host ${state} {{ default "{generation(routed, plan)}"; }}\n'


def parse(routed: Routed, text: str, path: str) -> Written | None:
    """None: it is none of ours."""
    first, _, _ = text.partition("\n")
    plan = read_plan(first.removeprefix(_MARK)) if first.startswith(_MARK) else None
    if plan is None:
        return None
    by_hand = () if render(routed, plan) == text else (f"{path} was changed by hand",)
    return Written(plan, by_hand)


def _rules_of_traffic(routed: Routed, plan: Plan) -> str:
    key, split, slot, by_cookie = (variable(routed, what) for what in ("key", "split", "slot", "cookie"))
    lines = [_upstream(routed, plan, one) for one in Slot]
    source = "$request_id"
    if routed.affinity:
        cookie = f"$cookie_{routed.affinity}"
        lines.append(f"map {cookie} ${key} {{ default {cookie}; '' $request_id; }}\n")
        source = f"${key}"
    lines.append(f"split_clients {source} ${split} {{ {_parts(plan.share)} }}\n")
    header = "$http_" + re.sub(r"\W", "_", routed.header.lower())
    lines.append(_map(f"$cookie_{routed.cookie}", by_cookie, f"${split}", plan.rules, MatchOn.COOKIE))
    lines.append(_map(header, slot, f"${by_cookie}", plan.rules, MatchOn.HEADER))
    return "".join(lines)


def _upstream(routed: Routed, plan: Plan, slot: Slot) -> str:
    """The other slot's servers stand in when none of its own answers."""
    own, other = plan.slots[slot].servers, plan.slots[slot.other].servers
    lines = _servers(own, "") + _servers(other, " backup" if own else "") or [_NOBODY]
    body = "".join(f"  server {line};\n" for line in lines)
    return f"upstream {routed.service}_{slot} {{\n  least_conn;\n{body}  keepalive 64;\n}}\n"


def _servers(servers: Sequence[Server], role: str) -> list[str]:
    return [f"{server} max_fails=1 fail_timeout=1s{role}" for server in servers]


def _parts(share: int) -> str:
    if share in (0, FULL):
        return f"* {Slot.GREEN if share else Slot.BLUE};"
    return f"{share / 100:.2f}% {Slot.GREEN}; * {Slot.BLUE};"


def _map(source: str, name: str, otherwise: str, rules: Sequence[MatchRule], on: MatchOn) -> str:
    """By expressions, since nginx compares mere text without regard to case."""
    entries = "".join(f"  '~^{rule.value.replace('.', '[.]')}$' {rule.slot};\n" for rule in rules if rule.on is on)
    return f"map {source} ${name} {{\n  default {otherwise};\n{entries}}}\n"
