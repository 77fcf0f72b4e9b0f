"""The version picker: what is known of a service's versions, how they did and where copies lie, and before those what lies where its
artifacts come from and nobody has released yet. Choosing changes nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import Target
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.offered import Offered, offered_details, offered_versions, unreleased
from quarterdeck.rollouts.versions import KnownVersion, known_versions
from quarterdeck.tui.cli.times import age, size
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.cards.from_build import names_build
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, ellipsis, pad, row
from quarterdeck.tui.room.wrapping import said_rows

T = TypeVar("T")
LONGEST = 80
AROUND = 40  # rows beside the chosen one that may be on the screen
HEAD = f"  {'VERSION':<12} {'VERDICT':<8} {'AGE':>4}  {'DIGEST':<10} {'COPIES':<7} WHERE"


class VersionPicker(Card):
    """``take`` gets the release's id (the version, where ``typed``) when one was chosen. ``typed``: any version may be typed."""

    def __init__(self, target: str, take: Callable[[str], None], *, typed: bool) -> None:
        super().__init__()
        self.target = target
        self.take = take
        self.may_type = typed
        self.versions: Sequence[KnownVersion] | None = None
        self.chosen = ""  # the version or release that the cursor is on: known by name, whatever comes or goes
        self.typed: str | None = None
        self.offered: dict[
            str, Offered
        ] = {}  # nobody has released them yet; without details until they are on the screen
        self.asking = ""  # what is waited for, in words
        self.fault = ""  # why it is not known what else there is
        self._detailed: set[str] = set()

    @property
    def declared(self) -> Target | None:
        return self.room.fleet.targets.get(self.target)

    def on_mount(self) -> None:
        super().on_mount()
        self.begin(self._read, "versions")

    async def _read(self) -> None:
        fleet, target = self.room.fleet, self.target

        def read(journal: Journal) -> tuple[KnownVersion, ...]:
            return known_versions(journal, fleet, target)

        found = await self.room.desk.ask(read)
        self.versions = found if self.may_type else [version for version in found if version.release is not None]
        self.chosen = self.chosen or likeliest(self.versions, onward=self.may_type)
        self.renew()
        if self.may_type and self.declared is not None:
            await self._ask_what_is_offered(self.declared)
        self.chosen = self.chosen or likeliest(self.versions, onward=False)
        self.renew()

    async def _ask_what_is_offered(self, target: Target) -> None:
        """One line says when that can't be told: what the journal knows stays to be chosen."""
        fleet = self.room.fleet
        if target.artifact.image:
            self.asking = f"asking {clean(target.artifact.image)} what else there is"
        try:
            found = await beside(partial(offered_versions, fleet, target.artifact))
        except (BackendError, OSError) as error:
            found, self.fault = (), one_line(str(error))
        new = unreleased(found, [version.version for version in self.versions or ()])
        self.offered = {version: Offered(version) for version in new}
        if not self.chosen and new:
            self.chosen = new[0]
        self.asking = ""
        self.renew()
        await self._look_at_those_in_sight(target)

    async def _look_at_those_in_sight(self, target: Target) -> None:
        """Date and size, of images: only of those that may be on the screen."""
        while not self.gone and target.artifact.image:
            names = list(self.offered)
            at = names.index(self.chosen) if self.chosen in names else 0
            near = names[max(0, at - AROUND) : at + AROUND]
            wanted = [name for name in near if name not in self._detailed]
            if not wanted:
                return
            self._detailed |= set(wanted)
            self.offered |= await beside(partial(offered_details, self.room.fleet, target.artifact, wanted))
            self.renew()

    @property
    def _commits(self) -> str:
        if self.target.partition("/")[2] in self.room.fleet.sources:
            return "commits: the card of the chosen version tells them (d)"
        return "commits: not known, the fleet file declares no source for this service"

    @property
    def _built(self) -> bool:
        """Whether the fleet file says where it is built."""
        return self.target.partition("/")[2] in self.room.fleet.builds

    @property
    def rows(self) -> list[KnownVersion]:
        """What can be chosen: what nobody has released yet first."""
        new = [
            KnownVersion(one.version, None, "new", first_seen=one.created or "", digest=one.digest, size=one.size)
            for one in self.offered.values()
        ]
        return [*new, *(self.versions or ())]

    @property
    def typing(self) -> bool:
        return self.typed is not None

    def pasted(self, text: str) -> None:
        self.typed = ((self.typed or "") + one_line(text))[:LONGEST]

    def move(self, by: int) -> None:
        names = [_name(version) for version in self.rows]
        if names:
            at = names.index(self.chosen) if self.chosen in names else -1 if by > 0 else 0
            self.chosen = names[max(0, min(at + by, len(names) - 1))]
            self.top = max(0, names.index(self.chosen) - 4)
            if self.chosen in self.offered and self.chosen not in self._detailed and self.declared is not None:
                self.begin(partial(self._look_at_those_in_sight, self.declared), "details")

    def type_key(self, key: str, character: str | None) -> None:
        assert self.typed is not None
        if key == "escape":
            self.typed = None
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key == "enter" and self.typed.strip():
            self._choose(self.typed.strip())
        elif character and not character.isspace():
            self.typed = (self.typed + character)[:LONGEST]

    def pressed(self, key: str) -> None:
        match key:
            case "escape" | "q":
                self.leave()
            case "t" if self.may_type:
                self.typed = ""
            case "number_sign" if self.may_type and self._built:
                self.typed = "#"
            case _ if self.may_type and len(key) == 1 and key.isalnum():
                self.typed = key  # of a version: were it dropped, Enter would take another one
            case "enter":
                found = next((version for version in self.rows if _name(version) == self.chosen), None)
                if found is not None:
                    self._choose(found.version if self.may_type else _name(found))

    def _choose(self, version: str) -> None:
        self.leave()
        self.take(version)

    def sheet(self, width: int) -> Sheet:
        if self.versions is None:
            body: list[Row] = [row(Span("reading the journal", Role.STALE))]
        elif not self.rows:
            body = [row(Span("no version is known yet" + (": t types one" if self.may_type else ""), Role.WARN))]
        else:
            body = [
                version_row(version, width, self.room.now(), chosen=_name(version) == self.chosen)
                for version in self.rows
            ]
        foot: list[Row] = [
            EMPTY,
            row(Span(self._commits, Role.DIM)),
        ]
        if self.fault or self.asking:
            foot += said_rows(self.fault or self.asking, width, Role.WARN if self.fault else Role.STALE)
        foot += said_rows(self.said, width)
        if self.typed is not None:
            asked = "build: " if names_build(self.typed) else "version: "
            foot.append(row(Span(asked, Role.KEY), self.typed, Span("_", Role.CURSOR)))
            foot += keys_rows(width, ("enter", "take it"), ("esc", "back"))
        else:
            typing: tuple[tuple[str, str], ...] = (("t", "type a version"),) if self.may_type else ()
            typing += (("#", "a build"),) if self.may_type and self._built else ()
            foot += keys_rows(width, ("enter", "take it; nothing starts"), ("j k", "choose"), *typing, ("esc", "back"))
        return Sheet(f"versions of {self.target}", body, foot, top=[row(Span(HEAD, Role.DIM))], width=96)


async def beside(question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """In a thread with a loop of its own: what it needs is slow to load, and the screen waits for nothing."""
    return await asyncio.to_thread(lambda: asyncio.run(question()))


def likeliest(versions: Sequence[KnownVersion], *, onward: bool) -> str:
    """What the cursor is on at first: the newest that does not run and is not known as bad. ``onward``: and did not come before what runs,
    so that nobody deploys an old one by pressing Enter; empty where there is none."""
    runs = next((at for at, version in enumerate(versions) if version.runs), len(versions))
    others = [v for at, v in enumerate(versions) if not v.runs and (not onward or at < runs or v.release is None)]
    well = [v for v in others if v.verdict != "bad"]
    likely = well if onward else [*well, *others, *versions]
    return _name(likely[0]) if likely else ""


def _name(version: KnownVersion) -> str:
    return version.release or version.version


def version_row(version: KnownVersion, width: int, now: datetime | None = None, *, chosen: bool) -> Row:
    role = {"good": Role.OK, "bad": Role.BAD}.get(version.verdict, Role.PLAIN)
    verdict = version.verdict.upper() if version.verdict == "bad" else version.verdict
    new = version.verdict == "new"
    copies = "-" if new else f"{version.copies}/{version.hosts}" if version.hosts else "?"
    where = "runs now" if version.runs else ""
    if new:
        where = "not released yet" + (f", {size(version.size)}" if version.size is not None else "")
    if version.good_in:
        where += (", " if where else "") + f"good in {' '.join(version.good_in)}"
    if version.verdict == "bad" and version.why:
        where += (", " if where else "") + one_line(version.why)
    head = f" {pad(one_line(version.version), 12)} "
    rest = f" {age(version.last_good or version.first_seen, now):>4}  {version.digest[:8]:<10} {copies:<7} {where}"
    return row(
        Span(">" if chosen else " ", Role.STRONG),
        Span(head, Role.CURSOR if chosen else Role.STRONG),
        Span(pad(verdict, 8), role),
        Span(ellipsis(rest, max(width - len(head) - 9, 0))),
    )
