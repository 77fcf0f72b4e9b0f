"""The rows of the matrix: which columns there is room for, which services pass the filter, in which order. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.target import Mark, TargetSeen
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.overview.cells import (
    back_words,
    cell,
    cell_words,
    health_words,
    hosts_words,
    in_trouble,
    too_old,
)
from quarterdeck.tui.room.rows import Role, Row, Span, pad

Others = Mapping[str, Sequence[str]]
"""By target: who else has it open."""


class Order(StrEnum):
    RISK = "risk"
    NAME = "name"
    CHANGED = "changed"


TITLE_FROM: Final = 14  # lines: in a lower box the title's line is better used for a service
_CELL: Final = (9, 18)  # least and most columns of an environment
_NAME: Final = (7, 24)  # of a service's name
_HEALTH, _AGE, _HOSTS, _BACK = 11, 4, 5, 14  # what stands behind the environments is about production


class Columns(msgspec.Struct, frozen=True):
    """``environments``: those that are shown, in their order; ``before``, ``after``: how many are left out on either side of
    the scrolled part. ``more``: the titles of the columns behind them."""

    name: int
    cell: int
    environments: tuple[str, ...]
    before: int = 0
    after: int = 0
    more: tuple[tuple[str, int], ...] = ()


_MORE: Final = {
    "health": ("HEALTH", _HEALTH),
    "age": ("AGE", _AGE),
    "back": ("ROLL BACK TO", _BACK),
    "hosts": ("HOSTS", _HOSTS),
}
"""The columns behind the environments, by their names in the settings."""


def columns_for(
    width: int,
    names: Sequence[str],
    environments: Sequence[str],
    chosen: str | None,
    wanted: Sequence[str] = tuple(_MORE),
) -> Columns:
    """What fits into ``width``. Production is always there, and so is the environment ``chosen``; the others scroll past."""
    longest = max((len(name) for name in names), default=0)
    name = max(_NAME[0], min(longest, _NAME[1], max(width // 5, _NAME[0])))
    room = max(width - name - 2, 0)
    fitting = max(1, room // (_CELL[0] + 1))
    shown, before, after = _window(environments, chosen, fitting)
    used = len(shown) * (_CELL[0] + 1)
    more = []
    for title, wide in (_MORE[name] for name in wanted):
        if before + after or used + wide + 1 > room:
            break
        more.append((title, wide))
        used += wide + 1
    spare = max(room - used, 0) // max(len(shown), 1)
    return Columns(name, min(_CELL[0] + spare, _CELL[1]) + 1, shown, before, after, tuple(more))


def _window(environments: Sequence[str], chosen: str | None, fitting: int) -> tuple[tuple[str, ...], int, int]:
    if len(environments) <= fitting:
        return tuple(environments), 0, 0
    production, others = environments[-1], list(environments[:-1])
    if fitting == 1:
        only = chosen if chosen is not None and chosen in environments else production
        at = list(environments).index(only)
        return (only,), at, len(environments) - at - 1
    space = fitting - 1
    at = others.index(chosen) if chosen is not None and chosen in others else len(others) - 1
    first = max(0, min(at - space // 2, len(others) - space))
    return (*others[first : first + space], production), first, len(others) - first - space


def chosen_services(
    picture: Picture, order: Order = Order.RISK, find: Matcher = EVERYTHING, now: datetime | None = None
) -> list[str]:
    """The services that pass ``find``, in ``order``; by risk: failing ones first (in production before elsewhere), then what
    changed last in production, then by name."""
    names = sorted(picture.services)
    if find.active:
        names = [name for name in names if find.matches(_searched(picture, name, fuzzy=find.fuzzy, now=now))]
    if order is Order.NAME:
        return names
    production = picture.production
    since = {name: _since(picture.targets.get(f"{production}/{name}")) for name in names}
    names.sort(key=lambda name: since[name], reverse=True)  # stable: equals stay by name
    if order is Order.RISK:
        names.sort(key=lambda name: _risk(picture, name))
    return names


def _since(seen: TargetSeen | None) -> str:
    if seen is None:
        return ""
    started = seen.moving.rollout.started if seen.moving is not None else None
    return max(started or "", seen.since or "")


def _searched(picture: Picture, service: str, *, fuzzy: bool, now: datetime | None) -> str:
    """What a filter looks at: the service's name and what its cells say; letters in their order only in the name."""
    if fuzzy:
        return service
    words = [service]
    for environment in picture.environments:
        seen = picture.targets.get(f"{environment}/{service}")
        if seen is not None:
            shown = " ".join(cell_words(seen, now, too_old(now))) if now is not None else f"{seen.version} {seen.word}"
            words.append(f"{environment}/{service} {shown} {seen.word}")
    return " ".join(words)


_RISK: Final = {Mark.FAILED: 1, Mark.ROLLING: 2, Mark.DRIFT: 3, Mark.STALE: 4}


def _risk(picture: Picture, service: str) -> int:
    worst = 9
    for environment in picture.environments:
        seen = picture.targets.get(f"{environment}/{service}")
        if seen is None:
            continue
        risk = _RISK.get(seen.mark, 9)
        if in_trouble(seen):
            risk = 0 if environment == picture.production else 1
        worst = min(worst, risk)
    return worst


def head_row(columns: Columns, picture: Picture, now: datetime, *, focused: bool) -> Row:
    """The titles; production is marked when something is wrong there, a preview when its lifetime is over, columns that are scrolled away
    with an arrow."""
    role = Role.FOCUS if focused else Role.DIM
    spans = [Span(" " + pad("SERVICE", columns.name + 1), role)]
    production, at_now = picture.production, now.astimezone(UTC).isoformat()
    wrong = any(in_trouble(seen) for seen in picture.targets.values() if seen.environment == production)
    for at, name in enumerate(columns.environments):
        text = name.upper()
        if at == 0 and columns.before:
            text = f"<{columns.before} {text}"
        if columns.after and at == max(len(columns.environments) - 2, 0):
            text = f"{pad(text, max(columns.cell - 4, 1)).rstrip()} {columns.after}>"
        if picture.is_over(name, at_now):
            spans.append(Span(" " + pad(f"{_short(text, columns.cell - 5)} OVER", columns.cell - 1), Role.BAD))
        elif name == production and wrong:
            spans.append(Span(" " + pad(f"{_short(text, columns.cell - 4)} !!", columns.cell - 1), Role.PRODUCTION))
        else:
            spans.append(
                Span(
                    " " + pad(_SHORT_NAMES.get(text, text) if len(text) >= columns.cell else text, columns.cell - 1),
                    role,
                )
            )
    spans += [Span(" " + pad(title, width), role) for title, width in columns.more]
    return tuple(spans)


_SHORT_NAMES: Final = {"PRODUCTION": "PROD", "PREPRODUCTION": "PREPROD", "DEVELOPMENT": "DEV"}


def _short(text: str, width: int) -> str:
    """The name of an environment, by its usual short form or cut where there is no room for it."""
    text = text if len(text) <= width else _SHORT_NAMES.get(text, text)
    return text[: max(width, 1)]


def service_row(
    picture: Picture, service: str, columns: Columns, chosen: str | None, now: datetime, others: Others
) -> Row:
    """A service in all its environments; behind them what is known of it in production."""
    old = too_old(now)
    here = chosen is not None and chosen.partition("/")[2] == service
    spans = [
        Span(">" if here else " ", Role.STRONG),
        Span(pad(service, columns.name + 1), Role.STRONG if here else Role.PLAIN),
    ]
    told = {title for title, _ in columns.more}
    production = picture.production
    for environment in columns.environments:
        name = f"{environment}/{service}"
        spans += cell(
            picture.targets.get(name),
            columns.cell,
            now,
            old,
            chosen=name == chosen,
            others=others.get(name, ()),
            back=not (environment == production and "ROLL BACK TO" in told),
        )
    seen = picture.targets.get(f"{production}/{service}")
    for title, width in columns.more:
        text, role = _about(title, seen, now, old)
        spans.append(Span(" " + pad(text, width), role))
    return tuple(spans)


def _about(title: str, seen: TargetSeen | None, now: datetime, old: str) -> tuple[str, Role]:
    match title:
        case "HEALTH":
            return health_words(seen, now, old)
        case "AGE":
            return age(seen.since if seen is not None else None, now), Role.PLAIN
        case "HOSTS":
            return hosts_words(seen)
        case _:
            return back_words(seen) if seen is not None else ("-", Role.DIM)


def matrix_rows(
    picture: Picture,
    services: Sequence[str],
    chosen: str | None,
    now: datetime,
    size: tuple[int, int],
    *,
    first: int = 0,
    order: Order = Order.RISK,
    others: Others = MappingProxyType({}),
    focused: bool = False,
    filtered: bool = False,
    wanted: Sequence[str] = tuple(_MORE),
) -> tuple[list[Row], int]:
    """The rows for ``size`` (columns, lines), the head on top, and the first service that is shown: ``first``, or another one so
    that the chosen is among them. A line below says how many are not."""
    width, height = size
    environment, _, service = (chosen or "").partition("/")
    columns = columns_for(width, picture.services, picture.environments, environment or None, wanted)
    rows: list[Row] = [head_row(columns, picture, now, focused=focused)]
    if not services:
        text = "no service passes the filter" if filtered else "the fleet file declares no service"
        return [*rows, (Span(f" {text}", Role.DIM),)], 0
    total = len(picture.services)
    space = max(height - 1, 1)
    told = space > 2 and (len(services) > space or len(services) < total)
    space -= told
    if service in services:
        at = services.index(service)
        first = min(max(first, at - space + 1), at)
    first = max(0, min(first, len(services) - space))
    shown = services[first : first + space]
    rows += [service_row(picture, name, columns, chosen, now, others) for name in shown]
    if told:
        rows.append((Span(f" {summary(len(shown), total, order)}", Role.DIM),))
    return rows, first


def summary(shown: int, total: int, order: Order) -> str:
    """``10 of 41 services shown (failing first, then changed in production)``."""
    how = {
        Order.RISK: "failing first, then changed in production",
        Order.NAME: "by name",
        Order.CHANGED: "changed last in production first",
    }
    return f"{shown} of {total} services shown ({how[order]})"
