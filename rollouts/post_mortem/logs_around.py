"""Log lines of the hosts around a change, as far as the hosts still have them: bounded, without the values of secrets, and never a reason
for a report to fail."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import LogLine
from quarterdeck.backends.secrets import Masker, resolve_each
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import Fleet, SecretReference, Target
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.logs.merged import Silent, open_backend, read_logs, time_of
from quarterdeck.rollouts.post_mortem.values import Logs, LogText, PostMortem
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.statistics import moment_of

LINES: Final = 40  # of a host, in a report
READ_AT_LEAST, READ_AT_MOST = (
    2000,
    10_000,
)  # of the newest lines of a host, among which those of that time are looked for
RESOLVING: Final = 8.0  # seconds
DEADLINE: Final = 60.0  # seconds for all of it; each host has shorter ones
LONGEST: Final = 500  # characters of a line


async def logs_around(fleet: Fleet, journal: Journal, found: PostMortem, limit: int = LINES) -> Logs:
    """Of each host at most ``limit`` lines, those nearest to the first sign of trouble, else to the end. Raises JournalError alone."""
    target = fleet.targets.get(found.rollout.target)
    if target is None:
        return Logs(said=("the fleet file declares no such target any more: its hosts are not known",), limit=limit)
    try:
        async with asyncio.timeout(DEADLINE):
            masker, refused = await _masker(fleet, target, found)
            if refused:
                return Logs(said=(refused,), limit=limit)
            return await _read(fleet, journal, target, found, limit, masker)
    except (Refused, BackendError, OSError) as error:
        return Logs(said=(_line(str(error)),), limit=limit)
    except TimeoutError:
        return Logs(said=(f"the hosts gave no logs within {DEADLINE:g} s",), limit=limit)


async def _masker(fleet: Fleet, target: Target, found: PostMortem) -> tuple[Masker, str]:
    """For the secrets of the target and of both releases, as they are now; why there can be none, in words."""
    references: dict[str, SecretReference] = dict(target.secrets)
    for row in (found.before, found.after):
        if row is not None:
            references |= {f"{name} of {row.id}": one.reference for name, one in row.release.secrets.items()}
    values, refused = await resolve_each(references, base=fleet.file.parent, deadline=RESOLVING)
    if refused is None:
        return Masker(values), ""
    why = f"a secret can't be read here, so that it could not be masked in them: {refused.problem}"
    return Masker(values), f"no log lines: {_line(why)}; qd logs {target.name} shows them to you"


async def _read(fleet: Fleet, journal: Journal, target: Target, found: PostMortem, limit: int, masker: Masker) -> Logs:
    first, last, near = _window(found)
    wanted = max(READ_AT_LEAST, min(limit * 20, READ_AT_MOST))
    by_host: dict[str, list[tuple[str, LogText]]] = {host.name: [] for host in target.hosts}
    said: list[str] = []
    silent: set[str] = set()
    last_time: dict[tuple[str, str], str] = {}
    stream = read_logs(open_backend(fleet), journal, target, lines=wanted)
    try:
        async for entry in stream:
            match entry:
                case Silent(host, reason):
                    silent.add(host)
                    said.append(f"{host}: {_line(masker.mask(reason))}")
                case LogLine():
                    place = (entry.host, entry.source)
                    moment = moment_of(time_of(entry))
                    time = _text(moment) if moment is not None else last_time.get(place, "")
                    last_time[place] = time
                    by_host.setdefault(entry.host, []).append((time, LogText(time or None, entry.host, entry.text)))
    finally:
        await stream.aclose()
    lines: list[tuple[str, LogText]] = []
    for host, every in by_host.items():
        inside = [one for one in every if first <= one[0] <= last]
        kept = _nearest(inside, near, limit)
        lines += kept
        if host not in silent and (words := _said(host, every, inside, kept, wanted, last)):
            said.append(words)
    lines.sort(key=lambda one: one[0])
    told = tuple(LogText(line.time, line.host, _line(masker.mask(line.text))) for _, line in lines)
    return Logs(told, tuple(said), limit)


def _said(
    host: str,
    every: Sequence[tuple[str, LogText]],
    inside: Sequence[object],
    kept: Sequence[object],
    wanted: int,
    last: str,
) -> str:
    """Why a host's lines are not all that there was in that time; empty where they are."""
    if len(kept) < len(inside):
        return f"{host}: {len(inside) - len(kept)} more lines of this time are left out"
    if inside:
        return ""
    times = [time for time, _ in every if time]
    if every and not times:
        return f"{host}: its lines say no time"
    if times and min(times) > last:
        return f"{host}: of this time nothing is left in its last {wanted} lines, which begin at {min(times)[:19]}"
    return f"{host}: nothing was logged in this time"


def _nearest(lines: Sequence[tuple[str, LogText]], near: str, limit: int) -> list[tuple[str, LogText]]:
    at = next((number for number, (time, _) in enumerate(lines) if time >= near), len(lines))
    first = max(0, min(at - limit // 2, len(lines) - limit))
    return list(lines[first : first + limit])


def _window(found: PostMortem) -> tuple[str, str, str]:
    """From when, until when, and near which moment: as text that sorts as ``time_of`` does."""
    rollout = found.rollout
    first = moment_of(rollout.started) or moment_of(rollout.created) or datetime.now(UTC)
    last = moment_of(rollout.ended) or datetime.now(UTC)
    near = moment_of(found.detected.time if found.detected is not None else None) or last
    around = timedelta(seconds=found.around)
    return _text(first - around), _text(max(last, near) + around), _text(near)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _line(text: str) -> str:
    text = " ".join(clean(text).split("\n")).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
