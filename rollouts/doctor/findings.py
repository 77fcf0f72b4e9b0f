"""What a test of this machine or of a host found out, and how a fault is fixed."""

from enum import StrEnum

import msgspec

LITTLE_ROOM = 200 * 1024 * 1024  # bytes free: with less, a release may not fit


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """``subject``: what was tested («host web-1», «journal»). ``fix`` is empty when there is nothing to do.

    ``unreachable``: the fault is that a host does not answer or lets nobody in.
    """

    subject: str
    verdict: Verdict
    sentence: str
    fix: str = ""
    unreachable: bool = False
