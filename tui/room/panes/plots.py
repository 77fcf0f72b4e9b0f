"""Figures of deploying as text: how often, how often it goes wrong, how long until it is well again. Pure."""

from quarterdeck.rollouts.statistics import Statistics
from quarterdeck.tui.cli.times import clock, duration
from quarterdeck.tui.room.rows import Role, Row, Span, title

_HEIGHTS = " .:-=+*#"  # eight steps that every terminal and every font has


def bars(values: list[float], width: int) -> str:
    """One character a value, the highest is ``#``; what is not nothing is never shown as nothing."""
    kept = values[-width:] if width > 0 else []
    top = max(kept, default=0.0)
    if top <= 0:
        return " " * len(kept)
    steps = len(_HEIGHTS) - 1
    return "".join(_HEIGHTS[max(1, round(value / top * steps)) if value > 0 else 0] for value in kept)


def plot_rows(figures: Statistics, width: int, of: str) -> list[Row]:
    """Deploys a day and ways back, over the days that were counted."""
    days = len(figures.days)
    rate = figures.failure_rate
    per_week = figures.deploys / days * 7 if days else 0.0
    rows: list[Row] = [title(f"last {days} days, {of}", width)]
    rows.append(
        (
            Span(" deploys a day  ", Role.DIM),
            Span(f"|{bars([float(day.deploys) for day in figures.days], width - 34)}|"),
            Span(f" {figures.deploys}, {per_week:.1f} a week", Role.STRONG),
        )
    )
    rows.append(
        (
            Span(" that went bad  ", Role.DIM),
            Span(f"|{bars([float(day.bad) for day in figures.days], width - 34)}|", Role.BAD),
            Span(f" {'none to count' if rate is None else f'{rate:.0%}'}", Role.STRONG),
        )
    )
    median = figures.median_restore
    rows.append(
        (
            Span(" time to restore", Role.DIM),
            Span(f"|{bars([one.seconds for one in figures.restored], width - 34)}|", Role.WARN),
            Span(" never needed" if median is None else f" median {duration(median)}", Role.STRONG),
        )
    )
    for one in reversed(figures.restored[-5:]):
        rows.append(
            (
                Span(f"   {one.ended[:10]} {clock(one.ended)} {one.target} #{one.rollout} ", Role.DIM),
                Span(duration(one.seconds)),
            )
        )
    return rows
