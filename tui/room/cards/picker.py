"""The version picker: what is known of a service's versions, how they did and where copies lie. Choosing changes nothing."""

from collections.abc import Callable, Sequence
from datetime import datetime

from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.versions import KnownVersion, known_versions
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.card import Card, Sheet, keys_rows, said_row
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, ellipsis, pad, row

LONGEST = 80
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

    def on_mount(self) -> None:
        super().on_mount()
        self.begin(self._read(), "versions")

    async def _read(self) -> None:
        fleet, target = self.room.fleet, self.target

        def read(journal: Journal) -> tuple[KnownVersion, ...]:
            return known_versions(journal, fleet, target)

        found = await self.room.desk.ask(read)
        self.versions = found if self.may_type else [version for version in found if version.release is not None]
        if not self.chosen and self.versions:
            best = [v for v in self.versions if not v.runs]
            self.chosen = _name(next((v for v in best if v.verdict != "bad"), (best or self.versions)[0]))
        self.renew()

    @property
    def typing(self) -> bool:
        return self.typed is not None

    def pasted(self, text: str) -> None:
        self.typed = ((self.typed or "") + one_line(text))[:LONGEST]

    def move(self, by: int) -> None:
        names = [_name(version) for version in self.versions or ()]
        if names:
            at = names.index(self.chosen) if self.chosen in names else 0
            self.chosen = names[max(0, min(at + by, len(names) - 1))]
            self.top = max(0, names.index(self.chosen) - 4)

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
            case "enter":
                found = next((version for version in self.versions or () if _name(version) == self.chosen), None)
                if found is not None:
                    self._choose(found.version if self.may_type else _name(found))

    def _choose(self, version: str) -> None:
        self.leave()
        self.take(version)

    def sheet(self, width: int) -> Sheet:
        if self.versions is None:
            body: list[Row] = [row(Span("reading the journal", Role.STALE))]
        elif not self.versions:
            body = [row(Span("no version is known yet" + (": t types one" if self.may_type else ""), Role.WARN))]
        else:
            body = [
                version_row(version, width, self.room.now(), chosen=_name(version) == self.chosen)
                for version in self.versions
            ]
        foot: list[Row] = [
            EMPTY,
            row(Span("commits: not known, the fleet file declares no source for this service", Role.DIM)),
        ]
        if self.said:
            foot.append(said_row(self.said, width))
        if self.typed is not None:
            foot.append(row(Span("version: ", Role.KEY), self.typed, Span("_", Role.CURSOR)))
            foot += keys_rows(width, ("enter", "take it"), ("esc", "back"))
        else:
            typing = (("t", "type a version"),) if self.may_type else ()
            foot += keys_rows(width, ("enter", "take it; nothing starts"), ("j k", "choose"), *typing, ("esc", "back"))
        return Sheet(f"versions of {self.target}", body, foot, top=[row(Span(HEAD, Role.DIM))], width=96)


def _name(version: KnownVersion) -> str:
    return version.release or version.version


def version_row(version: KnownVersion, width: int, now: datetime | None = None, *, chosen: bool) -> Row:
    role = {"good": Role.OK, "bad": Role.BAD}.get(version.verdict, Role.PLAIN)
    verdict = version.verdict.upper() if version.verdict == "bad" else version.verdict
    copies = f"{version.copies}/{version.hosts}" if version.hosts else "?"
    where = "runs now" if version.runs else ""
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
