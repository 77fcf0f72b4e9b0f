"""Versions and releases' ids as they are shown. Pure."""

from quarterdeck.backends.text_cleaning import clean


def version_of(release: str | None) -> str | None:
    """``v142`` of ``v142-3f9c0a1b2d``: a release's id is its version and ten hexadecimal digits."""
    if release is None:
        return None
    head, dash, tail = release.rpartition("-")
    return shown(head if dash and len(tail) == 10 and all(c in "0123456789abcdef" for c in tail) else release)


def shown(version: str | None) -> str | None:
    """On one line and clean: whatever is counted or cut to a width must be as long as it looks. Somebody else may have named it."""
    if version is None or (version.isascii() and version.isprintable()):
        return version
    return " ".join(clean(version).split())
