"""The key `drills` of an environment."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from quarterdeck.config.drills import Drills, DrillTime
from quarterdeck.config.freezes import WEEKDAYS
from quarterdeck.config.kinds import SOME_TIME, ZONE
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Either, Key, Keys, Scalar

_TIME = rf"(({'|'.join(WEEKDAYS)}) )?([01][0-9]|2[0-3]):[0-5][0-9]"
_URL = r"https?://[^\s/?#]+(/[^\s]*)?"


def drill_time(text: str) -> DrillTime:
    """`Tue 10:00`, or `10:00` for every day. Raises ``Unfit``."""
    if not re.fullmatch(_TIME, text):
        day = f"{text[:3].capitalize()}{text[3:]}"
        raise Unfit(nearest=day if re.fullmatch(_TIME, day) else None)
    hours, minutes = text[-5:].split(":")
    return DrillTime(int(hours) * 60 + int(minutes), WEEKDAYS.index(text[:3]) if " " in text else None)


def probe_url(text: str) -> str:
    """An address that is asked with GET. It is shown and journalled, so no login may stand in it. Raises ``Unfit``."""
    if not re.fullmatch(_URL, text):
        raise Unfit
    if "@" in urlsplit(text).netloc:
        raise Unfit("a login may not stand in it: it is shown to everybody")
    return text


def _drills(**found: Any) -> Drills:
    return Drills(allowed=True, **found)


def _has_a_pace(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """A time without a pace would say nothing."""
    if "at" in node.entries and "every" not in node.entries:
        problems.add(node.key("at"), "`at` needs `every`: how often it is practised")
        return False
    if "zone" in node.entries and "at" not in node.entries:
        problems.add(node.key("zone"), "`zone` is that of `at`, which is missing")
        return False
    day = values["at"].weekday if isinstance(values.get("at"), DrillTime) else None
    if day is not None and values.get("every", 7 * 86400.0) < 7 * 86400.0:
        problems.add(node.value("every"), f"it is {WEEKDAYS[day]} once in seven days: `every` is 7d or longer")
        return False
    return True


DRILLS = Either(
    Choice(("allowed", "refused"), lambda word: Drills(allowed=word == "allowed")),
    Keys(
        "what is said of drills",
        (
            Key("every", SOME_TIME, "How often each service's rollback is practised by `qd drill --due`."),
            Key(
                "at",
                Scalar("a time such as Tue 10:00, or 10:00", drill_time, {"type": "string", "pattern": f"^{_TIME}$"}),
                "When: within two hours after this. Without it: as soon as it is due.",
            ),
            Key("zone", ZONE, "The time zone of `at`.", default="UTC"),
            Key(
                "probe",
                Scalar(
                    "a URL such as http://lb.acme.io/healthz", probe_url, {"type": "string", "pattern": f"^{_URL}$"}
                ),
                "What is asked all the while, to count failed requests. Without it: the services' own health checks.",
            ),
        ),
        make=_drills,
        some_of=("every", "probe"),
        check=_has_a_pace,
    ),
)
