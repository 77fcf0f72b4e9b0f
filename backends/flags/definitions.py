"""A file of flagd's flag definitions as text: how many percent get one flag's variant ``on``, and the same text with another share.

Only what says the share is replaced: every other flag, and all else of this one, stays letter by letter. Pure.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import msgspec

from quarterdeck.backends.flags.contract import NEAR, FlagState
from quarterdeck.config.flags import TARGETING_KEY, FlagdFlag

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODE: Final = json.JSONDecoder().raw_decode
_FULL: Final = 100.0
_FINE: Final = 100  # weights are whole numbers: a share that is none is written in hundredths of a percent


class NoDefinition(Exception):
    """Why the text can't be worked with, and what to do about it."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.advice = advice


class _Member(msgspec.Struct, frozen=True):
    """A value of an object, and where it stands in the text."""

    value: Any
    start: int
    end: int


class _Found(msgspec.Struct, frozen=True):
    members: Mapping[str, _Member]  # of the flag's definition
    last: int  # where another one may be put

    def value(self, name: str) -> Any:
        member = self.members.get(name)
        return member.value if member is not None else None


def read_share(text: str, flag: FlagdFlag) -> FlagState:
    """Raises ``NoDefinition``."""
    found = _find(text, flag)
    enabled = found.value("state") == "ENABLED"
    default = found.value("defaultVariant")
    targeting = found.value("targeting")
    if not targeting:
        percent = {flag.on: _FULL, flag.off: 0.0}.get(default) if isinstance(default, str) else None
        if percent is None:
            return FlagState(0.0, enabled, (f"it has no targeting, and its defaultVariant is {_shown(default)}",))
        return FlagState(percent, enabled)
    share = _share(targeting, flag)
    if share is None:
        return FlagState(_FULL, enabled, (f"its targeting is no share of {flag.on} and {flag.off}",))
    if default == flag.on and share < _FULL - NEAR:
        why = f"its defaultVariant is {flag.on}: whoever has no {flag.bucket} gets it as well"
        return FlagState(share, enabled, (why,))
    return FlagState(share, enabled)


def with_share(text: str, flag: FlagdFlag, percent: float, *, enabled: bool = True) -> str:
    """Whoever had it with a smaller share has it with a larger one, as long as the bucketing stays. Raises ``NoDefinition``."""
    found = _find(text, flag)
    default = found.value("defaultVariant")
    targeting = found.value("targeting")
    bucket = [targeting["fractional"][0]] if _has_bucket(targeting, flag) else _bucket(flag)
    whole = abs(percent - round(percent)) < NEAR / 2
    on, total = (round(percent), 100) if whole else (round(percent * _FINE), 100 * _FINE)
    wanted: dict[str, Any] = {
        "state": "ENABLED" if enabled else "DISABLED",
        "targeting": {"fractional": [*bucket, [flag.on, on], [flag.off, total - on]]},
    }
    if on == total:
        wanted["defaultVariant"] = flag.on  # also who has nothing to be told apart by
    elif default == flag.on:
        wanted["defaultVariant"] = flag.off
    return _written(text, found, wanted)


def _bucket(flag: FlagdFlag) -> list[Any]:
    """None for the targeting key, by which flagd tells apart itself: who has none then gets the default variant."""
    if flag.bucket == TARGETING_KEY:
        return []
    return [{"cat": [{"var": "$flagd.flagKey"}, {"var": flag.bucket}]}]


def _has_bucket(targeting: Any, flag: FlagdFlag) -> bool:
    return _share(targeting, flag) is not None and isinstance(targeting["fractional"][0], dict)


def _share(targeting: Any, flag: FlagdFlag) -> float | None:
    """None where it says something else."""
    if not isinstance(targeting, dict) or set(targeting) != {"fractional"}:
        return None
    parts = targeting["fractional"]
    if not isinstance(parts, list) or not parts:
        return None
    weights = {flag.on: 0, flag.off: 0}
    for part in parts[1:] if isinstance(parts[0], dict) else parts:
        if not isinstance(part, list) or not 1 <= len(part) <= 2 or not isinstance(part[0], str):
            return None
        weight = part[1] if len(part) == 2 else 1
        if part[0] not in weights or isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            return None
        weights[part[0]] += weight
    total = sum(weights.values())
    return _FULL * weights[flag.on] / total if total else None


def _find(text: str, flag: FlagdFlag) -> _Found:
    try:
        whole = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NoDefinition(f"it is no JSON: {str(error)[:200]}", "flag definitions in YAML are not supported") from None
    if not isinstance(whole, dict):
        raise NoDefinition("it is no object with flags in it")
    flags = _members(text, _after_space(text, 0), "the file").get("flags")
    if flags is None or not isinstance(flags.value, dict):
        listed = flags is not None and isinstance(flags.value, list)
        raise NoDefinition(
            "its flags are a list" if listed else "it has no flags", "write flags as an object: {key: definition}"
        )
    known = _members(text, flags.start, "flags")
    mine = known.get(flag.flag)
    if mine is None or not isinstance(mine.value, dict):
        near = difflib.get_close_matches(flag.flag, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "add it there first, switched off: qd changes its share, no more"
        raise NoDefinition(f"it has no flag {flag.flag}", hint)
    members = _members(text, mine.start, flag.flag)
    variants = members["variants"].value if "variants" in members else None
    for name in (flag.on, flag.off):
        if not isinstance(variants, dict) or name not in variants:
            names = ", ".join(variants) if isinstance(variants, dict) else "none"
            raise NoDefinition(f"it has no variant {name}", f"say which are `on` and `off`; it has {names}")
    return _Found(members, max(member.end for member in members.values()))


def _members(text: str, start: int, what: str) -> dict[str, _Member]:
    """Of the object that begins at ``start``; the text is sound JSON."""
    found: dict[str, _Member] = {}
    for name, member in _each(text, start):
        if name in found:
            raise NoDefinition(f"{what} has {name} twice", "which of them counts depends on who reads it: remove one")
        found[name] = member
    return found


def _each(text: str, start: int) -> Iterator[tuple[str, _Member]]:
    at = _after_space(text, start + 1)
    while text[at] != "}":
        name, end = _DECODE(text, at)
        value_at = _after_space(text, _after_space(text, end) + 1)  # behind the colon
        value, value_end = _DECODE(text, value_at)
        yield name, _Member(value, value_at, value_end)
        at = _after_space(text, value_end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _written(text: str, found: _Found, wanted: Mapping[str, Any]) -> str:
    """``text`` with these values; one that is so already stays as it is written."""
    changes: list[tuple[int, int, str]] = []
    for name, value in wanted.items():
        member = found.members.get(name)
        if member is None:
            changes.append((found.last, found.last, f", {json.dumps(name)}: {json.dumps(value)}"))
        elif member.value != value:
            changes.append((member.start, member.end, json.dumps(value)))
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]
