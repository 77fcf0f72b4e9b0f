"""Reads when a freeze begins and ends, and in which time zone: text in, value out, or Unfit."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from quarterdeck.config.freezes import WEEKDAYS, Edge, ends_at
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit

_CLOCK = r"(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
WEEKLY = rf"({'|'.join(WEEKDAYS)})( {_CLOCK})?"
DATED = rf"2[0-9]{{3}}-[01][0-9]-[0-3][0-9]([ T]{_CLOCK})?"
EDGE = rf"{WEEKLY}|{DATED}"
ZONE = r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*"


def edge(text: str) -> Edge:
    """`Fri 16:00`, `Sat`, `2026-12-20` or `2026-12-20 18:00`. Raises ``Unfit``."""
    if not re.fullmatch(EDGE, text):
        day = text[:3].capitalize()
        raise Unfit(nearest=f"{day}{text[3:]}" if re.fullmatch(WEEKLY, f"{day}{text[3:]}") else None)
    found = re.search(_CLOCK, text)
    minute = int(found[0][:2]) * 60 + int(found[0][3:]) if found else None
    if text[:3] in WEEKDAYS:
        return Edge(weekday=WEEKDAYS.index(text[:3]), minute=minute)
    try:
        return Edge(day=date.fromisoformat(text[:10]), minute=minute)
    except ValueError:
        raise Unfit("there is no such day") from None


def zone(text: str) -> str:
    """The name of a time zone, as in `Europe/Berlin`. Raises ``Unfit``."""
    if text == "UTC":
        return text
    from zoneinfo import ZoneInfo, available_timezones

    if re.fullmatch(ZONE, text):
        try:
            ZoneInfo(text)
        except (KeyError, ValueError, OSError):
            pass
        else:
            return text
    by_end = {name.rpartition("/")[2].casefold(): name for name in sorted(available_timezones(), reverse=True)}
    end = text.rpartition("/")[2].replace(" ", "_").casefold()
    raise Unfit("names are those of the IANA time zones", nearest=by_end.get(end))


def is_a_span(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """Whether it ends, and after it has begun."""
    begins, ends = values.get("begins"), values.get("ends")
    if not isinstance(begins, Edge) or not isinstance(ends, Edge):
        return False  # reported, or missing
    at = node.value("to")
    if (begins.weekday is None) != (ends.weekday is None):
        kinds = ("every week", "once") if begins.weekday is not None else ("once", "every week")
        problems.add(at, f"it begins {kinds[0]} and ends {kinds[1]}: write two days of the week, or two dates")
        return False
    if begins.day is not None and ends.day is not None:
        if (ends.day, ends_at(ends)) > (begins.day, begins.minute or 0):
            return True
        problems.add(at, f"it ends before it begins ({begins.words})")
        return False
    if begins == ends and begins.minute is not None:
        problems.add(at, "it ends when it begins: leave the times out where whole days are meant")
        return False
    return True
