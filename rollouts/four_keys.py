"""The four keys of a time: of all that was deployed, and of each week, month, service or environment of it. Pure: what counts as what is
said in ``statistics``, what is shown of few values is said here."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from quarterdeck.rollouts.statistics import Deployment, Judged, Restored, median, moment_of, percentile

BY: Final = ("week", "month", "service", "environment")
FEW: Final = 10
"""Of fewer values no 90th percentile is told, and of fewer deployments a rate is said to be of few."""
WEEK: Final = timedelta(days=7)


class Times(msgspec.Struct, frozen=True):
    """Seconds. None: there is nothing, or too little, to tell it from."""

    count: int = 0
    median: float | None = None
    p90: float | None = None


class Keys(msgspec.Struct, frozen=True):
    """``name``: 2026-W48, 2026-11, a service, an environment; empty for all. ``days``: that could be deployed in, since the journal begins
    and until now. ``lead_unknown``: deployments that succeeded without anything being known from before them."""

    name: str
    days: float
    deployments: int = 0
    failed: int = 0
    rollbacks: int = 0
    restore: Times = Times()
    lead: Times = Times()
    lead_from_commit: int = 0
    lead_from_first_deploy: int = 0
    lead_unknown: int = 0

    @property
    def per_week(self) -> float | None:
        """None of less than a week: a busy day is no pace."""
        return self.deployments / self.days * 7 if self.days >= 7 else None

    @property
    def failure_rate(self) -> float | None:
        """0..1; None of no deployment."""
        return self.failed / self.deployments if self.deployments else None

    @property
    def few(self) -> bool:
        return self.deployments < FEW


class FourKeys(msgspec.Struct, frozen=True):
    """``since`` and ``until``: UTC. ``begins``: when the journal's first rollout began, None: there is none."""

    since: datetime
    until: datetime
    begins: datetime | None
    total: Keys
    groups: tuple[Keys, ...] = ()


def four_keys(found: Judged, since: datetime, until: datetime, *, by: str | None = None) -> FourKeys:
    """Of what ended between ``since`` and ``until``. ``by``: one of BY. Weeks and months come in their order and without a gap, services
    and environments by their names."""
    begins = min((one.began for one in found.deployments), default=None)
    inside = Judged(
        tuple(one for one in found.deployments if since <= one.ended <= until),
        tuple(one for one in found.restored if since <= _ended(one) <= until),
        tuple(one for one in found.rollbacks if since <= one[0] <= until),
    )
    first = max(since, begins) if begins is not None else until
    total = _keys("", inside, _days(first, until))
    groups: list[Keys] = []
    if by in ("week", "month"):
        name = _week if by == "week" else _month
        parts = _split(inside, lambda moment, _: name(moment))
        for key, (start, end) in _periods(first, until, name).items():
            groups.append(_keys(key, parts.get(key, Judged()), _days(max(start, first), min(end, until))))
    elif by is not None:
        at = 1 if by == "service" else 0
        parts = _split(inside, lambda _, target: target.split("/", 1)[at])
        groups = [_keys(key, parts[key], total.days) for key in sorted(parts)]
    return FourKeys(since, until, begins, total, tuple(groups))


def _split(found: Judged, name: Callable[[datetime, str], str]) -> dict[str, Judged]:
    deployments: dict[str, list[Deployment]] = {}
    restored: dict[str, list[Restored]] = {}
    rollbacks: dict[str, list[tuple[datetime, str]]] = {}
    for deployment in found.deployments:
        deployments.setdefault(name(deployment.ended, deployment.target), []).append(deployment)
    for way in found.restored:
        restored.setdefault(name(_ended(way), way.target), []).append(way)
    for rollback in found.rollbacks:
        rollbacks.setdefault(name(*rollback), []).append(rollback)
    return {
        key: Judged(tuple(deployments.get(key, ())), tuple(restored.get(key, ())), tuple(rollbacks.get(key, ())))
        for key in {*deployments, *restored, *rollbacks}
    }


def _keys(name: str, found: Judged, days: float) -> Keys:
    leads = [one.lead for one in found.deployments if one.lead is not None]
    from_commit = sum(lead.since == "commit" for lead in leads)
    return Keys(
        name,
        round(days, 3),
        len(found.deployments),
        sum(one.failure is not None for one in found.deployments),
        len(found.rollbacks),
        _times(one.seconds for one in found.restored),
        _times(lead.seconds for lead in leads),
        from_commit,
        len(leads) - from_commit,
        sum(one.came and one.lead is None for one in found.deployments),
    )


def _times(values: Iterable[float]) -> Times:
    found = list(values)
    return Times(len(found), median(found), percentile(found, 0.9) if len(found) >= FEW else None)


def _ended(one: Restored) -> datetime:
    return moment_of(one.ended) or datetime.min.replace(tzinfo=UTC)


def _days(first: datetime, last: datetime) -> float:
    return max(0.0, (last - first) / timedelta(days=1))


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02d}"


def _month(moment: datetime) -> str:
    return f"{moment:%Y-%m}"


def _periods(first: datetime, last: datetime, name: Callable[[datetime], str]) -> dict[str, tuple[datetime, datetime]]:
    """By name, when each one begins and ends: every week (from Monday) or month that a part of the time lies in."""
    found: dict[str, tuple[datetime, datetime]] = {}
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= last:
        start = found.get(name(day), (day, day))[0]
        found[name(day)] = (start, day + timedelta(days=1))
        day += timedelta(days=1)
    return found


def times_value(times: Times) -> dict[str, Any]:
    return {"count": times.count, "median_seconds": times.median, "p90_seconds": times.p90}


def keys_value(keys: Keys) -> dict[str, Any]:
    """As JSON."""
    return {
        "name": keys.name,
        "days": keys.days,
        "deployments": keys.deployments,
        "deployments_per_week": round(keys.per_week, 3) if keys.per_week is not None else None,
        "failed": keys.failed,
        "change_failure_rate": round(keys.failure_rate, 4) if keys.failure_rate is not None else None,
        "rollbacks": keys.rollbacks,
        "time_to_restore": times_value(keys.restore),
        "lead_time": times_value(keys.lead)
        | {
            "from_commit": keys.lead_from_commit,
            "from_first_deploy": keys.lead_from_first_deploy,
            "unknown": keys.lead_unknown,
        },
        "few": keys.few,
    }


def notes(keys: FourKeys, hours: float) -> Sequence[str]:
    """What a reader must know of the figures, in sentences."""
    total = keys.total
    found = []
    if keys.begins is None:
        return ["nothing was deployed yet: there is nothing to count"]
    if keys.begins > keys.since:
        found.append(f"the journal's first deployment began {keys.begins:%Y-%m-%d %H:%M} UTC: it is counted from there")
    if total.deployments and total.few:
        found.append(
            f"of {total.deployments} deployment{'s' if total.deployments != 1 else ''} only: one more changes much"
        )
    if 0 < total.restore.count < FEW or 0 < total.lead.count < FEW:
        found.append(f"a 90th percentile is told of {FEW} values or more")
    if total.lead_from_first_deploy:
        found.append(
            f"the lead time of {total.lead_from_first_deploy} of {total.lead.count} deployments counts from the version's first"
            " deploy anywhere: when its commit was made is not known"
        )
    if total.lead_unknown:
        found.append(
            f"of {total.lead_unknown} deployments no lead time is known: neither a commit nor a deploy elsewhere before"
        )
    found.append(f"a rollback to an earlier release within {hours:g} h after a deploy makes it a failed one")
    return found
