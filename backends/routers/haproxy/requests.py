"""Requests one by one, with their times: HAProxy writes a line for each into a ring in its memory, which its socket gives whole.

A ring is read again and again, and forgets its oldest lines. So a look begins behind the last line of the look before, by that line's id.
"""

import math
import re
from typing import Final

from quarterdeck.backends.numbers import number_in
from quarterdeck.backends.routers.contract import Slot, TimedRequests
from quarterdeck.backends.routers.haproxy.names import backend_name
from quarterdeck.config.routers import Routed

RING: Final = "qd"
FORMAT: Final = "qd:%[var(txn.qd_from)].%rt:%b:%ST:%[var(txn.qd_took)]"
"""When the request came (microseconds since 1970) and its number, which together are its id; backend, status, and the microseconds until
its answer began. It may stand at the end of a longer format."""

NOTHING_YET: Final = "-"
"""The mark of a ring in which there is no line."""

_LINE: Final = re.compile(r"qd:([0-9-]+\.[0-9]+):([\w.-]+):(-?[0-9]+):(-?[0-9]+|-)$", re.MULTILINE)


def read_ring(answer: str, routed: Routed, after: str) -> TimedRequests:
    """Of ``show events``. ``after``: the mark of the look before; empty: all that is there.

    A request that its client broke off before a server had it has no status, and is nobody's fault: it is left out.
    """
    begin = answer.rfind(f"qd:{after}:") if after else -1
    known = answer[begin:].partition("\n")[2] if begin >= 0 else answer
    names = {backend_name(routed, slot): slot for slot in Slot}
    took: dict[Slot, list[float]] = {slot: [] for slot in Slot}
    lines = _LINE.findall(known)
    for _, backend, told, microseconds in lines:
        slot, status = names.get(backend), int(told)
        if slot is None or status < 100:
            continue
        if status >= 500:
            took[slot].append(math.nan)
        elif (measured := number_in(microseconds)) is not None:  # a clock that was set back measures nothing
            took[slot].append(measured / 1_000_000)
    slots = {slot: tuple(times) for slot, times in took.items()}
    mark = lines[-1][0] if lines else after or NOTHING_YET
    return TimedRequests(mark, slots, complete=begin >= 0 or after in ("", NOTHING_YET))
