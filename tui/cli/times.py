"""Times and amounts as people read them: ages, durations, the time of day. JSON keeps the ISO 8601 string as it is."""

from datetime import UTC, datetime


def parse(text: str) -> datetime | None:
    """An ISO 8601 time, or None when ``text`` is none."""
    try:
        moment = datetime.fromisoformat(text)
        # Beside the ends of the calendar there is none in another zone.
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def clock(text: str) -> str:
    """``14:32:07`` (UTC) of an ISO 8601 time; its first 8 characters when it is none."""
    moment = parse(text)
    return moment.astimezone(UTC).strftime("%H:%M:%S") if moment else text[:8]


def day_and_clock(text: str) -> str:
    """``2026-11-23 14:32:07`` (UTC)."""
    moment = parse(text)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else text


def duration(seconds: float) -> str:
    """``0.4s``, ``41s``, ``2m05s``, ``3h20m``, ``6d``."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def age(text: str | None, now: datetime | None = None) -> str:
    """How long ago ``text`` was (``12s``, ``7m``, ``3h``, ``6d``), or ``-`` when that is not known."""
    moment = parse(text) if text else None
    if moment is None:
        return "-"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 0:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def ago(text: str | None, now: datetime | None = None) -> str:
    """``12s ago``; ``just now`` of what another clock has written."""
    found = age(text, now)
    return "just now" if found == "now" else f"{found} ago"


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Seconds from ``start`` to ``end`` (both ISO 8601), None when one is missing. For people: decisions use no wall time."""
    first, last = parse(start) if start else None, parse(end) if end else None
    return max(0.0, (last - first).total_seconds()) if first and last else None


def size(amount: int | None) -> str:
    """Bytes as ``1.2 GiB``."""
    if amount is None:
        return "?"
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
