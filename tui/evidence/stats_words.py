"""The four keys in words and in rows of a table, for the command line and for the control room. Pure."""

from collections.abc import Sequence
from typing import Any

from quarterdeck.rollouts.four_keys import FourKeys, Keys, Times, keys_value, notes
from quarterdeck.tui.cli.times import duration

HEADERS = ("DEPLOYS", "A WEEK", "FAILED", "RATE", "ROLLBACKS", "RESTORE", "P90", "LEAD", "P90")


def cells(keys: Keys) -> tuple[str, ...]:
    """One for each of HEADERS; ``-`` where there is nothing to tell it from."""
    week = f"{keys.per_week:.1f}" if keys.per_week is not None else "-"
    rate = f"{keys.failure_rate:.0%}" if keys.failure_rate is not None else "-"
    return (
        str(keys.deployments),
        week,
        str(keys.failed),
        rate,
        str(keys.rollbacks),
        *_times(keys.restore),
        *_times(keys.lead),
    )


def _times(times: Times) -> tuple[str, str]:
    return (
        duration(times.median) if times.median is not None else "-",
        duration(times.p90) if times.p90 is not None else "-",
    )


def sentences(found: FourKeys) -> list[tuple[str, str]]:
    """The four, each by its name and in words."""
    total = found.total
    if not total.deployments:
        frequency = "none in this time"
    else:
        week = f", {total.per_week:.1f} a week" if total.per_week is not None else ""
        frequency = (
            f"{total.deployments} in {total.days:.0f} days{week}" if total.days >= 1 else f"{total.deployments} today"
        )
    rate = (
        f"{total.failure_rate:.0%}, {total.failed} of {total.deployments}"
        if total.failure_rate is not None
        else "nothing to count"
    )
    return [
        ("deployment frequency", frequency),
        ("lead time for changes", _told(total.lead, "not known of any")),
        ("change failure rate", rate),
        ("time to restore", _told(total.restore, "never needed")),
    ]


def _told(times: Times, nothing: str) -> str:
    if times.median is None:
        return nothing
    p90 = f", 90th percentile {duration(times.p90)}" if times.p90 is not None else ""
    return f"median {duration(times.median)}{p90}, of {times.count}"


def remarks(found: FourKeys, hours: float) -> Sequence[str]:
    return notes(found, hours)


def value(found: FourKeys, fleet: str, of: str | None, by: str | None, hours: float) -> dict[str, Any]:
    """As JSON: docs/stats.md has its fields."""
    return {
        "fleet": fleet,
        "of": of,
        "since": _time(found.since),
        "until": _time(found.until),
        "begins": _time(found.begins) if found.begins is not None else None,
        "failed_within_hours": hours,
        "total": keys_value(found.total),
        "by": by,
        "groups": [keys_value(keys) for keys in found.groups],
        "notes": list(notes(found, hours)),
    }


def _time(moment: Any) -> str:
    return str(moment.isoformat(timespec="seconds").replace("+00:00", "Z"))
