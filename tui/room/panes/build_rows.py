"""The rows of a CI system's builds: status, version, commit, where each runs. Pure."""

from collections.abc import Sequence
from datetime import datetime

from quarterdeck.rollouts.built import Placed
from quarterdeck.tui.cli.building import MARKS, runs_words
from quarterdeck.tui.cli.times import age, duration
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad

WIDE = 110  # columns from which how long it took and who began it have room
_ROLES = {"passed": Role.OK, "failed": Role.BAD, "running": Role.MOVING, "queued": Role.MOVING, "unknown": Role.STALE}


def build_rows(
    builds: Sequence[Placed], width: int, most: int, find: Matcher = EVERYTHING, now: datetime | None = None
) -> list[Row]:
    """At most ``most`` lines, the head among them."""
    wide = width >= WIDE
    more = f"{pad('TOOK', 7)} {pad('BY', 12)} " if wide else ""
    head = f"   {pad('BUILD', 7)} {pad('STATUS', 9)} {pad('VERSION', 14)} {pad('COMMIT', 8)} {pad('BRANCH', 12)} AGE  {more}RUNS IN"
    rows: list[Row] = [(Span(ellipsis(head, width), Role.DIM),)]
    for placed in [one for one in builds if find.matches(searched(one))][: max(most - 1, 1)]:
        build = placed.build
        took = duration(build.seconds) if build.seconds is not None else "-"
        more = f"{pad(took, 7)} {pad(ellipsis(build.author or '-', 12), 12)} " if wide else ""
        status = f"{MARKS[build.status]}  {pad(build.number, 7)} {pad(str(build.status), 9)} "
        line = (
            f"{pad(ellipsis(build.version or '-', 14), 14)} {pad(build.commit[:8] or '-', 8)}"
            f" {pad(ellipsis(build.tag or build.branch or '-', 12), 12)} {pad(age(build.started, now), 4)} {more}"
        )
        rows.append(
            (
                Span(status, _ROLES.get(build.status, Role.DIM)),
                Span(line, Role.STRONG if placed.runs_in else Role.PLAIN),
                Span(
                    ellipsis(runs_words(placed), max(width - len(status) - len(line), 0)),
                    Role.OK if placed.runs_in else Role.DIM,
                ),
            )
        )
    return rows


def searched(placed: Placed) -> str:
    """All that a filter looks at: what the row says."""
    build = placed.build
    return f"{build.number} {build.status} {build.version} {build.commit} {build.branch} {build.tag} {build.author} {runs_words(placed)}"
