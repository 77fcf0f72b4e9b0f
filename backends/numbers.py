"""Whole numbers in what hosts, engines and routers say. Pure."""

from typing import Final

_DIGITS: Final = 19
_MOST: Final = (1 << 63) - 1  # what they count with, and what the journal can hold


def number_in(text: str | None) -> int | None:
    """The whole number, not below 0, that ``text`` is; None where it is none, or one of more than 63 bits. Digits of other scripts, such
    as ``²``, are none."""
    if text is None or len(text) > _DIGITS or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= _MOST else None
