"""The two clocks: wall time is written down for people, boot time is compared. Nothing is decided from wall time."""

import time
from functools import cache
from pathlib import Path


def now(later: float = 0.0) -> str:
    """The wall clock as ISO 8601 UTC with milliseconds: ``2026-11-23T18:30:00.123Z``; what it will be in so many seconds."""
    nanoseconds = time.time_ns() + int(later * 1_000_000_000)
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 1_000_000_000))
    return f"{seconds}.{nanoseconds // 1_000_000 % 1000:03d}Z"


def boottime() -> int:
    """Nanoseconds since this machine was started, suspended time included; the same for all its processes."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """A name of this boot of the machine: two boottime() values compare only within one boot. Empty: can't be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
