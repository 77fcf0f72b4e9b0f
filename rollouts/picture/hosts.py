"""The hosts of a target as they were last seen, together: what many say in the same words is kept once. A fleet has tens of thousands of
hosts under its targets, and a screen shows a few dozen: a ``HostSeen`` is made of those that somebody asks for.

Values for pictures, made from the journal alone.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple, overload

from quarterdeck.history.chain import from_text
from quarterdeck.history.records import BETWEEN, NOTHING, Observation, Said
from quarterdeck.rollouts.picture.host import Expected, HostSeen, host_seen

if TYPE_CHECKING:
    from quarterdeck.rollouts.picture.needs import PicturedHost, PicturedTarget

_NEVER: Final = HostSeen("")

_Words = tuple[str, ...]
"""What a host says: release, version, health, error and body, as they stand in the columns of ``Said``."""


class HostsSeen(Sequence[HostSeen]):
    """A value, in the order of the fleet file. ``names``: of the hosts; ``oldest``: when that one was seen that was seen longest ago, None
    where one never was; ``newest``: when the last one was, empty where none ever was."""

    __slots__ = ("_counted", "_made", "_order", "_times", "kinds", "names", "newest", "of", "oldest")

    def __init__(
        self,
        names: tuple[str, ...],
        kinds: tuple[HostSeen, ...] = (_NEVER,),
        of: tuple[int, ...] | None = None,
        times: str = "",
        order: tuple[int, ...] | None = None,
        ends: tuple[str | None, str] | None = None,
    ) -> None:
        """``kinds``: what hosts say, without name and time (``seen`` is None in one that says that it was never seen); ``of``: the number
        of each host's kind, None where there is only one; ``times``: a column of ``Said``; ``order``: which value of it is whose, None:
        in the order of the names; ``ends``: ``oldest`` and ``newest``, where they are known."""
        self.names = names
        self.kinds = kinds
        self.of = of
        self._times = times
        self._order = order
        self._made: tuple[HostSeen, ...] | None = None
        self._counted: Sequence[tuple[HostSeen, int]] | None = None
        self.oldest, self.newest = self._ends() if ends is None else ends

    def counted(self) -> Sequence[tuple[HostSeen, int]]:
        """The kinds, and how many hosts are of each."""
        if self._counted is None:
            if self.of is None:
                self._counted = [(self.kinds[0], len(self.names))] if self.names else []
            else:  # of hosts that are lost each has its own words
                found = Counter(self.of)
                self._counted = [(kind, found[number]) for number, kind in enumerate(self.kinds) if number in found]
        return self._counted

    def named(self, names: Iterable[str]) -> list[HostSeen]:
        """The hosts of these names; no others are made."""
        if self._made is not None:
            places = _places(self.names)
            return [self._made[places[name]] for name in names]
        wanted = [_places(self.names)[name] for name in names]
        times = self.times() if wanted else []
        return [
            _made(self.kinds[0 if self.of is None else self.of[at]], self.names[at], times[at] if times else "")
            for at in wanted
        ]

    def lost(self) -> list[str]:
        """The names of those that can't be asked, or never were seen."""
        gone = [kind.error is not None or kind.seen is None for kind in self.kinds]
        if not any(gone):
            return []
        if self.of is None:
            return list(self.names)
        return [name for name, kind in zip(self.names, self.of, strict=True) if gone[kind]]

    def times(self) -> list[str]:
        """When each was seen, in the order of their names; nothing where none ever was. What stands there for one that never was seen means
        nothing."""
        return self._ordered_times() if self.newest else []

    def _ends(self) -> tuple[str | None, str]:
        """``oldest`` and ``newest``."""
        seen = [kind.seen is not None for kind in self.kinds]
        if not any(seen) or not self.names:
            return None, ""
        if (
            all(seen) and self._times.count(BETWEEN) == len(self.names) - 1
        ):  # in whatever order: they are those of all hosts
            times = self._times.split(BETWEEN)
            return min(times), max(times)
        known = [time for time, kind in zip(self._ordered_times(), self._kind_of_each(), strict=True) if seen[kind]]
        return (min(known) if known and len(known) == len(self.names) else None), max(known, default="")

    def _kind_of_each(self) -> Iterable[int]:
        return repeat(0, len(self.names)) if self.of is None else self.of

    def _ordered_times(self) -> list[str]:
        """One for each host; that of one that was never seen says nothing."""
        times = self._times.split(BETWEEN)
        return times if self._order is None else list(map(times.__getitem__, self._order))

    def _all(self) -> tuple[HostSeen, ...]:
        if self._made is None:
            kinds = map(self.kinds.__getitem__, self._kind_of_each())
            times = self._ordered_times() if self.newest else repeat("", len(self.names))
            self._made = tuple(
                _made(kind, name, time) for kind, name, time in zip(kinds, self.names, times, strict=True)
            )
        return self._made

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> HostSeen: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[HostSeen, ...]: ...
    def __getitem__(self, index: int | slice) -> HostSeen | tuple[HostSeen, ...]:
        return self._all()[index]

    def __iter__(self) -> Iterator[HostSeen]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HostsSeen):
            same = (self.names, self.kinds, self.of, self._times, self._order)
            if same == (other.names, other.kinds, other.of, other._times, other._order):
                return True
            return self.names == other.names and self.newest == other.newest and self._all() == other._all()
        return self._all() == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return repr(self._all())


def _made(kind: HostSeen, name: str, time: str) -> HostSeen:
    return HostSeen(
        name,
        kind.release,
        kind.version,
        kind.health,
        None if kind.seen is None else time,
        kind.error,
        kind.drift,
        kind.changed,
        kind.detail,
        kind.kept,
        kind.warm,
        kind.swarm,
    )


def counted(hosts: Sequence[HostSeen]) -> Sequence[tuple[HostSeen, int]]:
    """What hosts say, and how many say it: neither name nor time may be asked of these."""
    return hosts.counted() if isinstance(hosts, HostsSeen) else [(host, 1) for host in hosts]


def times_of(hosts: Sequence[HostSeen]) -> tuple[str | None, str]:
    """``oldest`` and ``newest``, as of ``HostsSeen``."""
    if isinstance(hosts, HostsSeen):
        return hosts.oldest, hosts.newest
    known = [host.seen for host in hosts if host.seen is not None]
    return (min(known) if known and len(known) == len(hosts) else None), max(known, default="")


def lost_of(hosts: Sequence[HostSeen]) -> list[str]:
    """The names of those that can't be asked, or never were seen."""
    if isinstance(hosts, HostsSeen):
        return hosts.lost()
    return [host.host for host in hosts if host.error is not None or host.seen is None]


def named(hosts: Sequence[HostSeen], names: Collection[str]) -> list[HostSeen]:
    """Those of ``hosts`` that have one of these names, which all are names of them."""
    return hosts.named(names) if isinstance(hosts, HostsSeen) else [host for host in hosts if host.host in names]


def names_of(hosts: Sequence[HostSeen]) -> tuple[str, ...]:
    return hosts.names if isinstance(hosts, HostsSeen) else tuple(host.host for host in hosts)


class Names:
    """The names of the hosts of targets. Many targets have the same hosts: they get the same tuple."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Sequence[PicturedHost], tuple[str, ...]]] = {}
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, target: "PicturedTarget") -> tuple[str, ...]:
        hosts = target.hosts
        known = self._known.get(id(hosts))
        if known is not None and known[0] is hosts:
            return known[1]
        names = tuple(host.name for host in hosts)
        names = self._same.setdefault(names, names)
        self._known[id(hosts)] = (hosts, names)
        return names


def hosts_seen(names: tuple[str, ...], said: Said | None, expected: Expected) -> HostsSeen:
    """The hosts of these names, as the journal has them and beside what they should run."""
    if said is None or not names:
        return HostsSeen(names)
    rows = _rows_of(names, said.hosts)
    columns = [
        _column(text, rows.total) for text in (said.releases, said.versions, said.healths, said.errors, said.bodies)
    ]
    alike = [one for one in columns if isinstance(one, str)]
    if len(alike) == len(columns) and not rows.missing:
        return HostsSeen(names, (_kind(tuple(alike), expected),), None, said.times, rows.order)
    words: list[_Words] = list(
        zip(*(repeat(one, rows.total) if isinstance(one, str) else one for one in columns), strict=True)
    )
    every: list[_Words] = words if rows.order is None else [words[at] if at >= 0 else () for at in rows.order]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(every))}
    kinds = tuple(_kind(one, expected) for one in numbers)
    of = tuple(map(numbers.__getitem__, every)) if len(kinds) > 1 else None
    return HostsSeen(names, kinds, of, said.times, rows.order)


class _Rows(NamedTuple):
    """Where in the columns the hosts of a target are. ``order``: of each host, -1: it is not among them; None: the same hosts, in the same
    order. ``missing``: whether one is not among them; ``total``: values in a column."""

    order: tuple[int, ...] | None
    missing: bool
    total: int


@lru_cache(maxsize=256)
def _rows_of(names: tuple[str, ...], column: str) -> _Rows:
    hosts = column.split(BETWEEN)
    if len(hosts) == len(names) and tuple(hosts) == names:
        return _Rows(None, False, len(hosts))
    at = {host: number for number, host in enumerate(hosts)}
    order = tuple(at.get(name, -1) for name in names)
    return _Rows(order, -1 in order, len(hosts))


@lru_cache(maxsize=256)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _column(text: str, count: int) -> str | list[str]:
    """The value that all have; else each one's."""
    first = text.partition(BETWEEN)[0]
    if text == BETWEEN.join(repeat(first, count)):
        return first
    return text.split(BETWEEN)


def _kind(words: _Words, expected: Expected) -> HostSeen:
    """Without name and time: these are empty, the time None in one that was never seen."""
    if not words:
        return _NEVER
    release, version, health, error, body = words
    told = Observation("", "", "", _value(release), _value(version), health, _value(error), from_text(body))
    return host_seen("", told, expected)


def _value(text: str) -> str | None:
    return None if text == NOTHING else text
