"""Builds and artifacts: what a CI system built of the chosen target's service, and the target's releases, what became of each, and on
how many hosts a copy lies. The CI system is asked now and then, only while this is on the screen, and never by the screen's own loop."""

import textwrap
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.cli.times import age, size
from quarterdeck.tui.room.aside import aside
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad

if TYPE_CHECKING:
    from quarterdeck.backends.builds.contract import Build
    from quarterdeck.rollouts.built import Placed

MOST = 200  # releases that are read
BUILDS = 30  # that are asked for
EVERY = 30.0  # seconds between two questions to the CI system
WITHOUT_TOKEN = 300.0  # likewise: who does not log in is answered seldom
_ROLES = {"good": Role.OK, "bad": Role.BAD}


class Releases(msgspec.Struct, frozen=True):
    """What was read of a target, at which event of the journal."""

    target: str
    head: int
    rows: tuple[ReleaseRow, ...] = ()
    fault: str = ""


class Told(msgspec.Struct):
    """What the CI system told of a service. ``asked``: when (monotonic); ``at``: when it was answered, of the wall clock; ``fault``: why it
    was not, the last time."""

    service: str
    asked: float
    builds: "tuple[Build, ...] | None" = None
    at: datetime | None = None
    fault: str = ""


def release_rows(
    seen: TargetSeen,
    releases: Sequence[ReleaseRow],
    width: int,
    now: datetime | None = None,
    *,
    built: bool = False,
) -> list[Row]:
    """``built``: the fleet file says where, and its builds are shown besides."""
    head = (
        f"   {pad('VERSION', 16)} {pad('SHA-256', 12)} {pad('SIZE', 9)} {pad('VERDICT', 8)}"
        f" {pad('LAST GOOD', 10)} {pad('COPIES', 7)} BY"
    )
    rows: list[Row] = [(Span(head, Role.DIM),)]
    kinds = counted(seen.hosts)
    for row in releases:
        release = row.release
        copies = sum(count for kind, count in kinds if row.id in (kind.kept or ()))
        warm = sum(count for kind, count in kinds if row.id in kind.warm)
        known = sum(count for kind, count in kinds if kind.kept is not None)
        here = row.id == seen.release
        line = f"{pad(release.version, 16)} {release.artifact.sha256[:12]} {pad(size(release.artifact.size), 9)} "
        verdict = Span(f"{pad(row.verdict, 8)} ", _ROLES.get(row.verdict, Role.PLAIN))
        where = (f"{copies}/{known}" + (f" {warm}w" if warm and not here else "")) if known else "?"
        who = ellipsis(
            release.created_by + (f": {row.verdict_reason}" if row.verdict_reason else ""), max(width - 70, 0)
        )
        rows.append(
            (
                Span(f"{'*' if here else ' '}  ", Role.STRONG),
                Span(line, Role.STRONG if here else Role.PLAIN),
                verdict,
                Span(f"{pad(age(row.last_good, now), 10)} {pad(where, 7)} {who}"),
            )
        )
    if not releases:
        rows.append((Span("   nothing was ever released here", Role.DIM),))
    warm_words = " w: containers that are kept warm." if any(kind.warm for kind, _ in kinds) else ""
    nowhere = "" if built else " Nothing says where it is built (`builds`): the journal's alone."
    return [*rows, (), (Span(f" * runs now.{warm_words}{nowhere}", Role.DIM),)]


def _searched(row: ReleaseRow) -> str:
    """All that a filter looks at: what the row says."""
    release = row.release
    return f"{release.version} {release.artifact.sha256} {row.verdict} {release.created_by} {row.verdict_reason}"


class Builds(Pane):
    name_of: ClassVar[str] = "builds"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._known = Releases("", -1)
        self._asked: tuple[str, int] | None = None
        self._told: Told | None = None
        self._placed: tuple[Placed, ...] = ()

    def heading(self) -> str:
        target = self.room.place.target or "nothing"
        service = target.partition("/")[2]
        return f"{'builds and ' if service in self.room.fleet.builds else ''}artifacts of {target}"

    def heading_right(self) -> str:
        told = self._told
        return (
            f"asked {age(told.at.isoformat(), self.room.now())} ago" if told is not None and told.at is not None else ""
        )

    def build(self, size: Size) -> Sequence[Row]:
        seen = self.room.target
        if seen is None:
            return [(Span(" no target is chosen", Role.DIM),)]
        wanted = (
            seen.target,
            max((r.id for r in self.room.picture.rollouts if r.rollout.target == seen.target), default=0),
        )
        if self._asked != wanted:
            self._asked = wanted
            self.fetch(partial(self._read, *wanted), "releases")
        if self._known.target != seen.target:
            return [(Span(" reading ...", Role.DIM),)]
        if self._known.fault:
            return [(Span(f" {self._known.fault}", Role.BAD),)]
        found = [row for row in self._known.rows if self.matcher.matches(_searched(row))]
        service = seen.target.partition("/")[2]
        built = service in self.room.fleet.builds
        above = self._built(service, size) if built else []
        if self._known.rows and not found:
            return (
                [*above, (Span(" no release passes the filter", Role.DIM),)]
                if built
                else [(Span(" nothing passes the filter", Role.DIM),)]
            )
        return [*above, *release_rows(seen, found, size.width, self.room.now(), built=built)]

    def _built(self, service: str, size: Size) -> list[Row]:
        """The builds, and whatever there is to say of them; half of the lines at most."""
        from quarterdeck.tui.room.panes.build_rows import build_rows  # only where there are any

        if not self.room.opening.observe:
            return [(Span(" builds are not asked for: the journal is all that is read", Role.DIM),), ()]
        self._ask(service)
        told = self._told
        if told is None or told.service != service:
            return [(Span(" asking what was built ...", Role.DIM),), ()]
        rows: list[Row] = []
        if told.fault:
            lines = textwrap.wrap(told.fault, max(size.width - 4, 20))
            rows += [(Span(f" {'?' if at == 0 else ' '} {line}", Role.STALE),) for at, line in enumerate(lines[:4])]
        if told.builds is None:
            return [*(rows or [(Span(" asking what was built ...", Role.DIM),)]), ()]
        if not told.builds:
            return [*rows, (Span(" nothing was built yet, as far as the CI system tells", Role.DIM),), ()]
        most = max(size.height // 2 - len(rows), 3)
        return [*rows, *build_rows(self._placed, size.width, most, self.matcher, self.room.now()), ()]

    def _ask(self, service: str) -> None:
        """Called while this is on the screen; asks when that is due."""
        told, now = self._told, time.monotonic()
        if told is None or told.service != service:
            self._told, self._placed = Told(service, now), ()
        elif now - told.asked >= (EVERY if self.room.fleet.builds[service].token is not None else WITHOUT_TOKEN):
            told.asked = now
        else:
            return
        self.fetch(partial(self._read_builds, service), "builds")

    async def _read_builds(self, service: str) -> None:
        from quarterdeck.rollouts.built import recent_builds

        told, fleet = self._told, self.room.fleet
        if told is None or told.service != service:
            return
        try:
            told.builds = await aside(lambda: recent_builds(fleet, service, limit=BUILDS))
            told.at, told.fault = self.room.now(), ""
        except (BackendError, OSError) as error:
            told.fault = " ".join(clean(str(error)).split())
        await self._place(service)

    async def _place(self, service: str) -> None:
        """The builds beside the releases that the journal knows by now."""
        from quarterdeck.rollouts.built import known_of, place

        told, fleet = self._told, self.room.fleet
        if told is not None and told.service == service and told.builds is not None:
            try:
                known = await self.room.desk.ask(lambda journal: known_of(fleet, journal, service))
            except (JournalError, TimeoutError):
                known = []  # the header says what is wrong with the journal
            self._placed = tuple(place(told.builds, known))
        self.renew()

    async def _read(self, target: str, head: int) -> None:
        def read(journal: Journal) -> list[ReleaseRow]:
            return journal.releases(target, limit=MOST)

        try:
            self._known = Releases(target, head, tuple(await self.room.desk.ask(read)))
        except (JournalError, TimeoutError) as error:
            self._known = Releases(target, head, fault=str(error) or "the journal did not answer in time")
        if self._told is not None:
            await self._place(self._told.service)
        self.renew()

    def move(self, by: int) -> None:
        """To another target: what is shown follows the selection everywhere."""
        self.room.pane("matrix").move(by)

    def move_sideways(self, by: int) -> None:
        self.room.pane("matrix").move_sideways(by)
