"""The tags of a repository, page after page. Reads lists only."""

import re

import msgspec

from quarterdeck.backends.artifacts.registry.client import Registry
from quarterdeck.backends.artifacts.versions import natural
from quarterdeck.backends.errors import BackendError

_PAGE = 1000  # asked for; a registry may give fewer
_TOO_MANY = (400,)
_MAX_PAGES = 100
_MAX_PAGE_BYTES = 8 * 1024 * 1024
# Signatures, attestations and the like, which are kept beside an image under a tag made of its digest.
_ATTACHED = re.compile(r"sha256-[0-9a-f]{64}(\..*)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class _Page(msgspec.Struct):
    tags: list[str] | None = None


async def all_tags(registry: Registry, tries: int | None = None) -> list[str]:
    """In natural order, the highest first; of a repository with very many the first pages. Raises as ``Registry.ask``."""
    tags: set[str] = set()
    path, asked = f"tags/list?n={_PAGE}", set[str]()
    while path and path not in asked and len(asked) < _MAX_PAGES:
        asked.add(path)
        answer = await registry.ask("GET", path, limit=_MAX_PAGE_BYTES, also=_TOO_MANY, tries=tries)
        if answer.status in _TOO_MANY:  # it gives no pages of that size: its own
            answer = await registry.ask("GET", "tags/list", limit=_MAX_PAGE_BYTES, tries=tries)
        try:
            page = msgspec.json.decode(answer.content, type=_Page)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BackendError(
                str(registry.repository),
                registry.action,
                "the registry's list of tags can't be understood",
                left="Nothing was changed",
            ) from None
        tags.update(tag for tag in page.tags or () if _TAG.fullmatch(tag) and not _ATTACHED.fullmatch(tag))
        path = answer.next_page
    return sorted(tags, key=natural, reverse=True)
