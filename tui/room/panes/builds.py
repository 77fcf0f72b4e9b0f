"""Builds and artifacts: the releases of the chosen target, what became of each, and on how many hosts a copy lies."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar

import msgspec

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow
from quarterdeck.rollouts.target_seen import TargetSeen
from quarterdeck.tui.cli.times import age, size
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad

MOST = 200  # releases that are read
_ROLES = {"good": Role.OK, "bad": Role.BAD}


class Releases(msgspec.Struct, frozen=True):
    """What was read of a target, at which event of the journal."""

    target: str
    head: int
    rows: tuple[ReleaseRow, ...] = ()
    fault: str = ""


def release_rows(
    seen: TargetSeen, releases: Sequence[ReleaseRow], width: int, now: datetime | None = None
) -> list[Row]:
    head = (
        f"   {pad('VERSION', 16)} {pad('SHA-256', 12)} {pad('SIZE', 9)} {pad('VERDICT', 8)}"
        f" {pad('LAST GOOD', 10)} {pad('COPIES', 7)} BY"
    )
    rows: list[Row] = [(Span(head, Role.DIM),)]
    for row in releases:
        release = row.release
        copies = sum(row.id in (host.kept or ()) for host in seen.hosts)
        warm = sum(row.id in host.warm for host in seen.hosts)
        known = sum(host.kept is not None for host in seen.hosts)
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
    rows += [
        (),
        (
            Span(
                " * runs now. w: containers that are kept warm. Builds of CI servers are not read yet; the journal knows these."
                if any(host.warm for host in seen.hosts)
                else " * runs now. Builds of CI servers are not read yet; the journal knows these.",
                Role.DIM,
            ),
        ),
    ]
    return rows


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

    def heading(self) -> str:
        return f"artifacts of {self.room.place.target or 'nothing'}"

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
        if self._known.rows and not found:
            return [(Span(" nothing passes the filter", Role.DIM),)]
        return release_rows(seen, found, size.width, self.room.now())

    async def _read(self, target: str, head: int) -> None:
        def read(journal: Journal) -> list[ReleaseRow]:
            return journal.releases(target, limit=MOST)

        try:
            self._known = Releases(target, head, tuple(await self.room.desk.ask(read)))
        except (JournalError, TimeoutError) as error:
            self._known = Releases(target, head, fault=str(error) or "the journal did not answer in time")
        self.renew()

    def move(self, by: int) -> None:
        """To another target: what is shown follows the selection everywhere."""
        self.room.pane("matrix").move(by)

    def move_sideways(self, by: int) -> None:
        self.room.pane("matrix").move_sideways(by)
