"""The picture of a fleet as this operator's room had it last, kept so that the next first paint need not read what thousands of hosts said.
What has been journalled since is read, and so is what hosts were seen running since; of a large fleet that is not: a paint made from it
says how old it is. It is for this user only, and is taken for nothing when anything about it is odd.

Of a small fleet nothing is kept: its picture is read from the journal at once.
"""

import binascii
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from quarterdeck import __version__
from quarterdeck.history.records import BETWEEN
from quarterdeck.rollouts.picture.fleet import Picture, take_picture
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.hosts import HostsSeen, Names
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.fleet_cache import cache_path, is_large

if TYPE_CHECKING:
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.picture.needs import PicturedFleet

FORMAT: Final = f"1 {__version__}"  # another program may take what is in it for something else
READ_ONE_BY_ONE: Final = 40  # targets that something has happened to since; of more everything is read anew
NEWS: Final = 1000  # events
MOST_BYTES: Final = 64 * 1024 * 1024


class _Target(msgspec.Struct, frozen=True, array_like=True):
    """``seen``: without its hosts; ``names``: the number of the list of their names; the rest as ``HostsSeen`` is made of it."""

    seen: TargetSeen
    names: int
    kinds: tuple[HostSeen, ...]
    of: tuple[int, ...] | None
    times: str
    ends: tuple[str | None, str]


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """``head``, ``hash``: the last event that is in it."""

    format: str
    fleet: str
    head: int
    hash: str
    lists: tuple[tuple[str, ...], ...]
    targets: tuple[_Target, ...]


class Recalled(NamedTuple):
    """``newest``: when a host was last seen, of a large fleet of those that were not read anew (ISO 8601 UTC); empty: none was."""

    picture: Picture
    newest: str


def picture_path(fleet_file: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Beside the description of the fleet."""
    beside = cache_path(fleet_file, environment)
    return beside.with_name(f"picture-{beside.stem.removeprefix('fleet-')}.msgpack")


def keep(fleet_file: Path, picture: Picture, hash: str, environment: Mapping[str, str] | None = None) -> None:
    """Writes it down for the next start. ``hash``: of the event ``picture.head``. What is on its way is left out: it will be read. Never
    raises: it is a convenience."""
    from quarterdeck.tui.room.own_files import write_own

    lists: dict[tuple[str, ...], int] = {}
    targets = []
    for seen in picture.targets.values():
        hosts = seen.hosts
        if isinstance(hosts, HostsSeen) and seen.moving is None:
            number = lists.setdefault(hosts.names, len(lists))
            targets.append(
                _Target(seen, number, hosts.kinds, hosts.of, BETWEEN.join(hosts.times()), (hosts.oldest, hosts.newest))
            )
    saved = _Saved(FORMAT, picture.fleet, picture.head, hash, tuple(lists), tuple(targets))
    try:
        data = msgspec.msgpack.encode(saved, enc_hook=_without_hosts)
        write_own(picture_path(fleet_file, environment), _sum(data) + data)
    except (OSError, ValueError, TypeError, NotImplementedError):
        return


def _sum(data: bytes) -> bytes:
    """Stands before them: a file that a disk has damaged is none."""
    return binascii.crc32(data).to_bytes(4)


def _without_hosts(value: object) -> Any:
    if isinstance(value, HostsSeen):
        return ()
    raise NotImplementedError(type(value))


def recall(
    fleet: "PicturedFleet", fleet_file: Path, journal: "Journal", environment: Mapping[str, str] | None = None
) -> Recalled | None:
    """The picture that was kept, with all that the journal tells since; None when there is none that can be trusted, and where it is no
    quicker. Raises JournalError."""
    saved = _read(picture_path(fleet_file, environment))
    if saved is None or saved.fleet != fleet.name:
        return None
    first, news = journal.events(saved.head - 1, limit=1), journal.events(saved.head, limit=NEWS)
    if [(event.seq, event.hash) for event in first] != [(saved.head, saved.hash)] or len(news) == NEWS:
        return None  # another journal, or so much has happened that reading it all is quicker
    told = {event.target for event in news}
    kept = {name: seen for name, seen in _targets(saved, fleet).items() if name not in told}
    large = is_large(fleet)
    if not large:
        newest = journal.newest()
        kept = {name: seen for name, seen in kept.items() if newest.get(name, ("", "")) == _newest_of(seen)}
    anew = fleet.targets.keys() - kept.keys()
    if len(anew) > READ_ONE_BY_ONE:
        return None
    read = take_picture(fleet, journal, anew)
    picture = msgspec.structs.replace(
        read,
        targets={name: kept[name] if name in kept else read.targets[name] for name in fleet.targets},
        head=news[-1].seq
        if news
        else saved.head,  # not that which ``read`` has: what came in between is still to be told
        around=msgspec.structs.replace(read.around, looked=0),  # whatever an observer saves now is not in it
        observed={},
    )
    old = kept if large else picture.targets
    return Recalled(picture, max((seen.newest for seen in old.values()), default=""))


def _newest_of(seen: TargetSeen) -> tuple[str, str]:
    """As ``Journal.newest`` has it, where nothing was observed since."""
    return seen.newest, (seen.router.seen or "") if seen.router is not None else ""


def _targets(saved: _Saved, fleet: "PicturedFleet") -> dict[str, TargetSeen]:
    """Those that have the same hosts in the fleet file now."""
    names = Names()
    same: dict[tuple[int, tuple[str, ...]], bool] = {}
    found: dict[str, TargetSeen] = {}
    for one in saved.targets:
        declared = fleet.targets.get(one.seen.target)
        if declared is None or not 0 <= one.names < len(saved.lists):
            continue
        now = names.of(declared)
        pair = (one.names, now)
        if pair not in same:
            same[pair] = saved.lists[one.names] == now
        if same[pair] and _is_whole(one, len(now)):
            hosts = HostsSeen(now, one.kinds, one.of, one.times, ends=one.ends)
            found[one.seen.target] = msgspec.structs.replace(one.seen, hosts=hosts)
    return found


def _is_whole(one: _Target, hosts: int) -> bool:
    told = any(kind.seen is not None for kind in one.kinds)
    if not one.kinds or not hosts or (told and one.times.count(BETWEEN) != hosts - 1):
        return False
    if one.of is None:
        return len(one.kinds) == 1
    return len(one.of) == hosts and min(one.of) >= 0 and max(one.of) < len(one.kinds)


def _read(path: Path) -> _Saved | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                return None
            if found.st_size > MOST_BYTES:
                return None
            data = file.read()
        if data[:4] != _sum(data[4:]):
            return None
        saved = msgspec.msgpack.decode(data[4:], type=_Saved)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return saved if saved.format == FORMAT else None
