"""Samples: what was measured, when, as it is kept. They are the evidence: from them alone the state of an analysis is made again."""

import math
from typing import Any, Final

import msgspec

from quarterdeck.backends.metrics.contract import Measurement

_NUMBERS: Final = ("values", "times")


class Sample(msgspec.Struct, frozen=True):
    """One measurement of one metric, or the error of its source. ``at``: seconds, when it began, on the clock of the analysis;
    the same of all that are measured together.

    ``baseline`` was measured at the same moment where the metric compares with it.
    """

    metric: str
    at: float
    canary: Measurement | None = None
    baseline: Measurement | None = None
    error: str = ""  # in words; empty: there is a measurement


def to_stored(sample: Sample) -> dict[str, Any]:
    """As plain JSON types; JSON has neither NaN nor infinity: they are texts there."""
    body: dict[str, Any] = msgspec.to_builtins(sample)
    for side in ("canary", "baseline"):
        measured = body[side]
        if measured is None:
            continue
        measured["value"] = _plain(measured["value"])
        for name in _NUMBERS:
            if measured[name] is not None:
                measured[name] = [_plain(one) for one in measured[name]]
    return body


def from_stored(body: Any) -> Sample:
    """Raises ``ValueError`` when ``body`` is not a sample."""
    if not isinstance(body, dict):
        raise ValueError("a sample is a mapping")
    body = dict(body)
    for side in ("canary", "baseline"):
        if not isinstance(body.get(side), dict):
            continue
        measured = body[side] = dict(body[side])
        if isinstance(measured.get("value"), str):
            measured["value"] = float(measured["value"])
        for name in _NUMBERS:
            if isinstance(measured.get(name), list | tuple):
                measured[name] = [float(one) if isinstance(one, str) else one for one in measured[name]]
    return msgspec.convert(body, Sample)


def _plain(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else repr(number)
