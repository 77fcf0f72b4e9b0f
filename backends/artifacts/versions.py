"""Which versions lie at a place: the template's ``{version}`` matched against names. Downloads nothing."""

import difflib
import posixpath
import re
from collections.abc import AsyncIterator

import msgspec

from quarterdeck.backends.artifacts.location import PLACEHOLDER, VERSION_PATTERN, Location
from quarterdeck.backends.artifacts.places import Place

_LOOKS_AT_MOST = 200  # files that are looked for one by one where {version} is the name of a directory


class Template(msgspec.Struct, frozen=True):
    """A path cut at the first name with ``{version}``: what is listed, what is matched, what follows."""

    folder: str
    name: re.Pattern[str]
    rest: str

    @classmethod
    def of(cls, path: str) -> "Template | None":
        """None: there is no ``{version}`` in ``path``."""
        parts = path.split("/")
        place = next((index for index, part in enumerate(parts) if PLACEHOLDER in part), None)
        if place is None:
            return None
        first, *others = (re.escape(piece) for piece in parts[place].split(PLACEHOLDER))
        pattern = f"{first}(?P<version>{VERSION_PATTERN})" + "(?P=version)".join(others)
        return cls("/".join(parts[:place]) or ("/" if place else ""), re.compile(pattern), "/".join(parts[place + 1 :]))


def natural(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts 1.9 before 1.10."""
    return tuple(
        (1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", version)
    )


async def listed(place: Place, template: Location) -> AsyncIterator[str]:
    """Versions that exist, newest first; none where the place can't be listed."""
    shape = Template.of(template.path)
    entries = None if shape is None else await place.entries(template, shape.folder)
    if shape is None or entries is None:
        return
    found = [
        (entry.changed, match["version"], entry.name)
        for entry in entries
        if (match := shape.name.fullmatch(entry.name))
    ]
    found.sort(key=lambda one: (one[0], natural(one[1])), reverse=True)
    for looks, (_, version, name) in enumerate(found):
        if not shape.rest:
            yield version
        elif looks < _LOOKS_AT_MOST:
            path = posixpath.join(shape.folder, name, shape.rest.replace(PLACEHOLDER, version))
            if await place.holds(template, path):
                yield version


def nearest(version: str, versions: list[str], count: int = 3) -> list[str]:
    """Those of ``versions`` (newest first) that are spelled most like ``version``; the newest where none is."""
    return difflib.get_close_matches(version, versions, n=count, cutoff=0.6) or versions[:count]
