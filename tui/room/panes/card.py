"""The card of the chosen target, below the matrix."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.cli.times import clock
from quarterdeck.tui.room.overview.card import WIDE, Older, card_rows, config_words, title_of
from quarterdeck.tui.room.pane import Pane, Size, unread_rows
from quarterdeck.tui.room.panes.matrix import Matrix
from quarterdeck.tui.room.rows import Role, Row
from quarterdeck.tui.room.timeline import shown, text_of

Pair = tuple[str, str]
OLDER = 3  # releases before the way back


def _back_and_now(seen: TargetSeen) -> Pair | None:
    coming = seen.moving.rollout.to_release if seen.moving is not None else None
    back, now = seen.back.release, coming or seen.release
    return (back, now) if back and now and back != now else None


class TargetCard(Pane, can_focus=False):
    name_of: ClassVar[str] = "card"

    def __init__(self) -> None:
        super().__init__()
        self._pair: Pair | None = None  # the way back, and what runs or is coming
        self._config = ""
        self._older: tuple[str, str | None, list[tuple[str, str]]] | None = (
            None  # target, its release, earlier good ones
        )

    def heading(self) -> str:
        return title_of(self.room.target, self.room.place.target)

    def renew(self) -> None:
        seen = self.room.target
        if seen is not None and self.is_mounted and self.size.width >= WIDE:
            wanted = (seen.target, seen.release)
            if self._older is None or self._older[:2] != wanted:
                self._older = (*wanted, [])
                self.fetch(self._read_older, "older releases")
        pair = _back_and_now(seen) if seen is not None else None
        if pair != self._pair and self.is_mounted:
            self._pair, self._config = pair, ""
            if pair is not None:
                self.fetch(self._read_config, "config")
        super().renew()

    async def _read_config(self) -> None:
        pair = self._pair
        if pair is None:
            return

        def read(journal: Journal) -> str:
            from quarterdeck.rollouts.differences.releases import compare  # the first frame has no time for it

            back, now = journal.release(pair[0]), journal.release(pair[1])
            return config_words(compare(now.release, back.release)) if back is not None and now is not None else ""

        try:
            found = await self.room.desk.ask(read)
        except (JournalError, TimeoutError):
            found = ""  # the header says what is wrong with the journal
        if pair == self._pair:
            self._config = found
            self.renew()

    async def _read_older(self) -> None:
        if self._older is None:
            return
        target, release, _ = self._older

        def read(journal: Journal) -> list[tuple[str, str]]:
            return once_good(journal.releases(target), release)

        try:
            found = await self.room.desk.ask(read)
        except (JournalError, TimeoutError):
            found = []  # the header says what is wrong with the journal
        if self._older is not None and self._older[:2] == (target, release):
            self._older = (target, release, found)
            self.renew()

    def build(self, size: Size) -> Sequence[Row]:
        room, seen = self.room, self.room.target
        if room.unread:
            return unread_rows()
        target = room.place.target or ""
        matrix = room.pane("matrix")
        others = matrix.others().get(target, ()) if isinstance(matrix, Matrix) else ()
        return card_rows(
            seen,
            room.picture,
            size.width,
            room.now(),
            last=self._last(target),
            log=self._log(target),
            config=self._config,
            older=self._counted(seen) if seen is not None else (),
            others=others,
            runs=self._runs(target),
            uses=self._uses(target),
        )

    def _uses(self, target: str) -> Sequence[str]:
        found = self.room.measures.chosen
        if found is None or found.target != target or not found.containers:
            return ()
        from quarterdeck.tui.room.panes.containers import in_short  # the first frame has no time for it

        return in_short(found.containers)

    def _runs(self, target: str) -> str:
        """Of a container: where its image comes from, its name, what of it a failure or a switch would show."""
        declared = self.room.fleet.targets.get(target)
        if declared is None or declared.container is None:
            return ""
        from quarterdeck.rollouts.container_words import in_short  # the first frame has no time for it

        return in_short(declared.container, declared.artifact.image, target)

    def _counted(self, seen: TargetSeen) -> list[Older]:
        if self._older is None or self._older[0] != seen.target:
            return []
        found = [(id, version) for id, version in self._older[2] if id != seen.back.release]
        kinds = counted(seen.hosts)
        return [
            Older(
                version,
                sum(count for kind, count in kinds if kind.kept is not None and id in kind.kept),
                len(seen.hosts),
            )
            for id, version in found[:OLDER]
        ]

    def _log(self, target: str) -> tuple[str, Role] | None:
        """Of the logs that the room follows: the newest line that is a warning or worse, else the newest one."""
        made = self.room.made("logs")
        if made is None:
            return None
        from quarterdeck.tui.room.panes.logs import Logs  # loaded by now

        return made.newest(target) if isinstance(made, Logs) else None

    def _last(self, target: str) -> str:
        """The last event of the target that is worth a line."""
        for event in reversed(self.room.recent):
            if event.target == target and shown([event]):
                return f"{clock(event.time)} {text_of(event)[0]}"
        return ""


def once_good(releases: Iterable[ReleaseRow], now: str | None) -> list[tuple[str, str]]:
    """Id and version of those that worked once, without ``now`` and what turned out to be bad later: nobody is to go back to that."""
    return [
        (row.id, row.release.version) for row in releases if row.last_good and row.verdict != "bad" and row.id != now
    ]
