"""Names of a fleet file made of what others call things."""

import re
from collections.abc import Collection

from quarterdeck.config.scalars import NAME


def name_of(text: str, otherwise: str = "") -> str:
    """``text`` as a name: small letters, digits, `.`, `_`, `-`; ``otherwise`` where nothing of it is left."""
    made = re.sub(r"[^a-z0-9_.-]+", "-", text.casefold()).strip("-._")[:63].rstrip("-._")
    return made if re.fullmatch(NAME, made) else otherwise


def free_name(text: str, taken: Collection[str], otherwise: str = "host") -> str:
    """The same, with a number behind it where it is taken already."""
    name = name_of(text, otherwise)
    number = 2
    found = name
    while found in taken:
        found = f"{name[:59]}-{number}"
        number += 1
    return found
