"""The logs of the chosen target, merged over its hosts; while a rollout is under way the new release beside the old one.

The pane takes in what came at its own rate, a few times a second, and draws only what is in sight. What hosts are asked is the
collector's; what passes and where one is, the window's.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from quarterdeck.rollouts.logs.spool import CONTINUED, Level, Side, Spool
from quarterdeck.tui.room.boxes import WIDE_WIDTH
from quarterdeck.tui.room.logs.collecting import Collecting, Wanted
from quarterdeck.tui.room.logs.folding import Fold, Item
from quarterdeck.tui.room.logs.lines import Style, plain_line, plain_lines, role_of
from quarterdeck.tui.room.logs.marks import MOST, Mark, mark_of, placed, sides_of, versions_of, without_same
from quarterdeck.tui.room.logs.sieve import LEVELS, Sieve
from quarterdeck.tui.room.logs.window import Window
from quarterdeck.tui.room.matching import matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, fit, row, title

if TYPE_CHECKING:
    from quarterdeck.tui.room.desk import News
    from quarterdeck.tui.room.opening import Place

SLOW_RATE: Final = 1  # times a second, on a slow line
SLICE: Final = 0.008  # seconds of searching between two keys
SHIFT: Final = 16  # columns
LAST: Final = 500  # lines that the one which matters most is looked for in
SETTLED: Final = 2.0  # seconds until the lines that were there already have come, and old marks find their places
LIVE: Final = 5_000  # milliseconds: an event that is not older has just happened


class Logs(Pane):
    name_of: ClassVar[str] = "logs"
    titled: ClassVar[bool] = False  # it has a title for each column
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.level = "all"
        self.since: int | None = None  # milliseconds
        self.timestamps = True
        self.wrap = False
        self.shift = 0
        self.fold = Fold.HOSTS
        self.only: tuple[str, ...] = ()
        self.window: Window | None = None
        self.collecting: Collecting | None = None
        self._marks: list[Mark] = []
        self._unplaced: list[Mark] = []
        self._there: tuple[object, ...] = ()  # what was in the window when it was drawn after a look
        self._searching = False
        self._sifting = False
        self._target: str | None = None
        self.follows = True  # False: nothing is asked of a host; what is there was given

    # life

    def on_mount(self) -> None:
        opening, settings = self.room.opening, self.room.settings
        self.follows = opening.observe
        self.timestamps = settings.timestamps
        self.collecting = Collecting(self.room.fleet.file, lines=settings.log_lines)
        self.room.companions.append(self)
        self.set_interval(1 / (SLOW_RATE if opening.slow else settings.rates.logs), self.take_in)

    def place_changed(self, place: "Place") -> None:
        """What is chosen now is seen with the next look."""

    def news_came(self, news: "News") -> None:
        """What a rollout did to the target stands between the lines."""
        now = self._now()
        for event in news.events:
            if event.target == self._target and (mark := mark_of(event)) is not None:
                if now - mark.time < LIVE and self.window is not None:
                    self._marks.append(Mark(mark.time, mark.text, self.window.spool.head))
                else:
                    self._unplaced.append(mark)

    def close(self) -> None:
        if self.collecting is not None:
            self.collecting.close()
        self.window = None

    def take_in(self) -> None:
        """Looks what came, at the pane's own rate."""
        if self.collecting is None:
            return
        target = self.room.place.target if self.display else None
        if target != self._target and target is not None:
            self.only = ()
        seen = self.room.picture.targets.get(target or "")
        wanted = Wanted(target, self.only) if target is not None and target in self.room.fleet.targets else None
        if self.follows and self.collecting.look_after(wanted, sides_of(seen)):
            current = self.collecting.current
            self.begin(current.target if current is not None else None, self.collecting.spool)
        window = self.window
        if self.display and window is not None:
            window.look(self._now())
            self._place_marks()
            if not window.step(SLICE):
                self._search_on()
            there = (window.spool.head, window.least, window.complete, tuple(window.marks))
            if there != self._there:  # what else changes by itself does so once a second, with all panes
                self._there = there
                self.renew()

    def begin(self, target: str | None, spool: Spool | None) -> None:
        """Another target, or other hosts: new lines, the same way of looking at them."""
        self._target = target
        self.window = Window(spool) if spool is not None else None
        self._marks = []
        self._unplaced = [
            mark for event in self.room.recent if event.target == self._target and (mark := mark_of(event)) is not None
        ]
        self._sift()
        self.renew()

    def _place_marks(self) -> None:
        window = self.window
        assert window is not None
        assert self.collecting is not None
        spool = window.spool
        if self._unplaced and spool.head and time.monotonic() - self.collecting.begun > SETTLED:
            self._marks += placed(self._unplaced, spool.head, spool.floor, spool.time_of)
            self._unplaced = []
        del self._marks[:-MOST]
        window.marks = without_same(placed(self._marks, spool.head, max(spool.floor, window.least), spool.time_of))

    # what is asked of it

    def set_filter(self, words: str) -> None:
        """Text, regular expression, ``!`` inverse, ``-f`` fuzzy: what is in sight answers at once, the rest by and by."""
        self.matcher = matcher(words)
        if not self._sifting:  # letters that were typed faster than that are one filter
            self._sifting = True
            self.call_later(self._sift_typed)

    def _sift_typed(self) -> None:
        self._sifting = False
        self._sift()
        self.renew()

    def set_level(self, level: str) -> None:
        """all, info, warn or error: that and worse. Raises KeyError for another word."""
        LEVELS[level]
        self.level = level
        self._sift()
        self.renew()

    def set_since(self, milliseconds: int | None) -> None:
        self.since = milliseconds
        self._sift()
        self.renew()

    def set_hosts(self, only: tuple[str, ...]) -> None:
        """Follows these hosts only; all of them where there is none."""
        self.only = only
        self.take_in()

    def set_fold(self, fold: Fold) -> None:
        self.fold = fold
        self._sift()
        self.renew()

    def set_mark(self, text: str) -> None:
        if self.window is not None:
            self._marks.append(Mark(self._now(), text, self.window.spool.head))
            self._place_marks()
            self.renew()

    def toggle_follow(self) -> None:
        if self.window is not None:
            if self.window.follow:
                self.window.stand()
            else:
                self.window.to_end()
            self.renew()

    def _now(self) -> int:
        """Milliseconds since 1970, by the room's clock."""
        return int(self.room.opening.clock().timestamp() * 1000)

    @property
    def sieve(self) -> Sieve:
        return Sieve(self.matcher, self.level, hosts=self.hosts)

    @property
    def hosts(self) -> tuple[str, ...]:
        target = self.room.fleet.targets.get(self._target or "")
        return tuple(host.name for host in target.hosts) if target is not None else ()

    @property
    def marks(self) -> list[Mark]:
        return self.window.marks if self.window is not None else []

    def _sift(self) -> None:
        if self.window is None:
            return
        self.window.fold = self.fold
        self.window.since = self.since
        self.window.look(self._now())
        self.window.sift(self.sieve, max(self.size.height, 1))
        self._search_on()

    def _search_on(self) -> None:
        """The rest of the lines, a slice at a time, so that every key comes in between."""
        if not self._searching:
            self._searching = True
            self.set_timer(0.001, self._search_more)

    def _search_more(self) -> None:
        self._searching = False
        if self.window is None or not self.display:
            return
        if self.window.step(SLICE):
            self.renew()
        else:
            self._search_on()

    # moving

    def move(self, by: int) -> None:
        if self.window is None:
            return
        if by < 0:
            self.window.up(-by, self._fills)
        elif not self.window.follow:
            self.window.down(by)
        self.renew()

    def move_to_end(self, last: bool) -> None:
        if self.window is None:
            return
        if last:
            self.window.to_end()
        else:
            self.window.to_beginning(self._fills)
        self.renew()

    def move_sideways(self, by: int) -> None:
        self.shift = max(0, self.shift + by * SHIFT) if not self.wrap else 0
        self.renew()

    def _fills(self) -> bool:
        if self.window is None:
            return False
        height = max(self.size.height - 1, 1)
        return len(self.window.in_sight(self._style(), max(self.size.width, 1), height)[0]) >= height

    @property
    def page(self) -> int:
        return max(self.size.height - 1, 2)

    # painting

    def heading(self) -> str:
        return "logs"

    def build(self, size: Size) -> Sequence[Row]:
        window = self.window
        room = Size(size.width, max(size.height - 1, 0))
        if window is None or self._target is None:
            said = "choose a target" if self.room.place.target is None else "beginning to follow"
            return [title("logs", size.width, focused=self.has_focus), row(Span(f" {said}", Role.DIM))]
        moving = sides_of(self.room.picture.targets.get(self._target))
        if moving and size.width >= WIDE_WIDTH:
            return self._beside(window, moving, room)
        window.forget_sides()
        rows, _ = window.in_sight(self._style(sides=bool(moving)), room.width, room.height)
        head = title(
            f"logs {_shown(self._target)}  {self._how(window)}", size.width, focused=self.has_focus, right=self._right()
        )
        return [head, *(rows or [self._nothing(window)])]

    def _beside(self, window: Window, moving: dict[str, int | None], room: Size) -> list[Row]:
        """Two columns: what hosts wrote while they ran the new release, and the old one."""
        new, old = versions_of(self.room.picture.targets.get(self._target or ""))
        left = (room.width - 1) // 2
        right = room.width - 1 - left
        style = self._style()
        columns = []
        for side, width, version in ((Side.NEW, left, new), (Side.OLD, right, old)):
            hosts = [host for host, since in moving.items() if (since is not None) is (side is Side.NEW)]
            words = f"logs {side.name} {version} {_few(hosts)}  {self._how(window)}"
            about = self._right() if side is Side.OLD else ""
            passing = window.passing(side)
            if not passing.complete:
                passing.step(SLICE)
                self._search_on()
            rows, _ = window.in_sight(style, width, room.height, side)
            rows = [title(words, width, focused=self.has_focus, right=about), *rows]
            columns.append([*rows, *[EMPTY] * (room.height + 1 - len(rows))])
        rows = []
        for number, (one, other) in enumerate(zip(*columns, strict=True)):
            rows.append((*fit(one, left), Span("+" if number == 0 else "|", Role.TITLE), *fit(other, right)))
        return rows

    def _style(self, *, sides: bool = False) -> Style:
        return Style(self.hosts, self.timestamps, self.wrap, self.shift, sides, self.matcher)

    def _how(self, window: Window) -> str:
        """How the lines are looked at: what the title says."""
        words = ["FOLLOW" if window.follow else "STILL"]
        words.append(f"since {duration(self.since)}" if self.since is not None else "since -")
        words.append(f"level>={self.level.upper()}" if self.level != "all" else "level all")
        if self.only:
            words.append(f"only {_few(list(self.only))}")
        if self.shift:
            words.append(f"from column {self.shift}")
        if self.matcher.active:
            more = "" if window.complete else "+"
            words.append(f"/{self.matcher.words}/ {window.total:,}{more} of {window.spool.head - window.spool.floor:,}")
        return "  ".join(words)

    def _right(self) -> str:
        window, collecting = self.window, self.collecting
        assert window is not None
        assert collecting is not None
        words = []
        if window.below:
            words.append(f"{window.below:,} new below (G)")
        if window.spool.floor:
            words.append(f"{window.spool.floor:,} oldest dropped")
        if not collecting.following:
            words.append(collecting.fault or "not followed now")
        return "  ".join(words)

    def _nothing(self, window: Window) -> Row:
        """Why there is no line to see."""
        if window.spool.head == 0:
            said = self.collecting.fault if self.collecting is not None and self.collecting.fault else "no line yet"
        elif not window.complete:
            said = "looking"
        else:
            said = f"none of {window.spool.head - window.spool.floor:,} lines passes (level, since, filter)"
        return row(Span(f" {said}", Role.DIM))

    def shown(self) -> list[Item]:
        """What is in sight."""
        if self.window is None:
            return []
        return self.window.in_sight(self._style(), max(self.size.width, 1), max(self.size.height - 1, 1))[1]

    def newest(self, target: str) -> tuple[str, Role] | None:
        """The line of ``target`` that matters most now, with its role: the newest of the last ones that is a warning or worse, else the
        newest. None where its logs are not followed, or say nothing."""
        window = self.window
        if window is None or target != self._target or not window.spool.head:
            return None
        spool = window.spool
        first = max(spool.floor, spool.head - LAST)
        marks = spool.marks(first, spool.head)
        of_hosts = [at for at, mark in enumerate(marks) if mark & 7 != Level.NOTICE and not mark & CONTINUED]
        bad = [at for at in of_hosts if marks[at] & 7 >= Level.WARN]
        if not of_hosts:
            return None
        found = spool.lines([first + (bad or of_hosts)[-1]])
        if not found:
            return None  # it has been written over meanwhile
        return plain_line(found[0], self._style()), role_of(found[0].level)

    def copy_text(self) -> str:
        """The lines in sight, whole."""
        return "\n".join(plain_lines(self.shown(), self._style()))


def _shown(target: str) -> str:
    environment, _, service = target.partition("/")
    return f"{service} @ {environment.upper()}"


def _few(hosts: list[str]) -> str:
    return " ".join(hosts) if len(hosts) <= 3 else f"{hosts[0]} {hosts[1]} .. ({len(hosts)})"


def duration(milliseconds: int) -> str:
    """``5m``: in the largest unit that says it whole."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds // 1000}s"
