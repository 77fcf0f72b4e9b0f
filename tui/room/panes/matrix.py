"""The matrix: services and environments, sorted by risk. The cursor is on a target, wherever that is sorted to."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.rollouts.picture import Mark, Picture, TargetSeen
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, pad

ROLES = {
    Mark.OK: Role.OK,
    Mark.ROLLING: Role.MOVING,
    Mark.FAILED: Role.BAD,
    Mark.DRIFT: Role.DRIFT,
    Mark.STALE: Role.STALE,
    Mark.FROZEN: Role.FROZEN,
    Mark.NOTHING: Role.DIM,
}
_RISK = {Mark.FAILED: 0, Mark.ROLLING: 1, Mark.DRIFT: 2, Mark.STALE: 3, Mark.FROZEN: 4, Mark.OK: 5, Mark.NOTHING: 6}


def by_risk(picture: Picture) -> list[str]:
    """Services, the riskiest first: failing ones, then what changed last in the last environment, then by name."""
    last = picture.environments[-1] if picture.environments else ""

    def risk(service: str) -> tuple[int, str, str]:
        cells = [
            picture.targets[name] for env in picture.environments if (name := f"{env}/{service}") in picture.targets
        ]
        worst = min((_RISK[cell.mark] for cell in cells), default=9)
        since = next((cell.since or "" for cell in cells if cell.environment == last), "")
        return min(worst, 5), _descending(since), service

    return sorted(picture.services, key=risk)


def _descending(text: str) -> str:
    """Sorts ISO times the newest first."""
    return "".join(chr(0x10000 - ord(character)) for character in text) or chr(0x10FFF)


def cell_text(seen: TargetSeen | None, width: int) -> str:
    """``=v143``, ``>v143 2/8``, ``~v30 drift``: mark, version, and a word where it is not simply good."""
    if seen is None:
        return " " * width
    version = seen.version or ""
    extra = ""
    if seen.moving is not None:
        done, total = seen.moving.progress
        version = seen.moving.to_version or version
        extra = f" {done}/{total}" if total else f" {seen.word}"
    elif seen.mark in (Mark.FAILED, Mark.DRIFT, Mark.STALE):
        extra = f" {seen.word}"
    return pad(f"{seen.mark}{version}{extra}", width)


def matrix_rows(picture: Picture, chosen: str | None, services: Sequence[str], width: int) -> list[Row]:
    """The head row, and one row a service."""
    names = max([len("SERVICE"), *(len(service) for service in services)], default=7)
    names = min(names, 20)
    count = max(len(picture.environments), 1)
    column = max(8, min(22, (width - names - 2) // count - 1))
    head = [Span(" " + pad("SERVICE", names + 1), Role.DIM)]
    head += [Span(" " + pad(name.upper(), column), Role.DIM) for name in picture.environments]
    rows: list[Row] = [tuple(head)]
    for service in services:
        here = chosen is not None and chosen.partition("/")[2] == service
        spans = [
            Span(">" if here else " ", Role.STRONG),
            Span(pad(service, names + 1), Role.STRONG if here else Role.PLAIN),
        ]
        for environment in picture.environments:
            name = f"{environment}/{service}"
            seen = picture.targets.get(name)
            if name == chosen:
                spans.append(Span(f"[{cell_text(seen, column - 1)}]", Role.CURSOR))
            else:
                spans.append(Span(f" {cell_text(seen, column)}", ROLES[seen.mark] if seen is not None else Role.DIM))
        rows.append(tuple(spans))
    return rows


class Matrix(Pane):
    name_of: ClassVar[str] = "matrix"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.services: list[str] = []

    def build(self, size: Size) -> Sequence[Row]:
        self.services = [service for service in by_risk(self.room.picture) if self.matcher.matches(service)]
        return matrix_rows(self.room.picture, self.room.place.target, self.services, size.width)

    def copy_text(self) -> str:
        """The target, its version, its release and the digest of its artifact."""
        seen = self.room.target
        if seen is None:
            return ""
        digest = f"sha256:{seen.digest}" if seen.digest else None
        return " ".join(word for word in (seen.target, seen.version, seen.release, digest) if word)

    def chosen_row(self) -> int | None:
        chosen = self.room.place.target
        service = chosen.partition("/")[2] if chosen else ""
        return self.services.index(service) + 1 if service in self.services else None

    def move(self, by: int) -> None:
        """To another service, in the same environment where it is deployed there."""
        environment, _, service = (self.room.place.target or "/").partition("/")
        if not self.services:
            return
        at = self.services.index(service) if service in self.services else 0
        step = 1 if by >= 0 else -1
        at = max(0, min(at + by, len(self.services) - 1))
        while 0 <= at < len(self.services):
            if f"{environment}/{self.services[at]}" in self.room.picture.targets:
                self.room.choose(f"{environment}/{self.services[at]}")
                return
            at += step

    def move_sideways(self, by: int) -> None:
        environment, _, service = (self.room.place.target or "/").partition("/")
        names = [name for name in self.room.picture.environments if f"{name}/{service}" in self.room.picture.targets]
        if environment in names:
            at = max(0, min(names.index(environment) + by, len(names) - 1))
            self.room.choose(f"{names[at]}/{service}")

    def open_chosen(self) -> None:
        seen = self.room.target
        if seen is not None and seen.moving is not None:
            self.room.visit("rollouts", rollout=seen.moving.id)
        elif seen is not None:
            self.room.visit("history", target=seen.target)
