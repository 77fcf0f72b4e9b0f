"""From a resolved artifact to a file whose bytes were checked. What was resolved is what is given, or an error."""

import asyncio
import errno
from collections.abc import Collection
from pathlib import Path

from quarterdeck.backends.artifacts.cache import Cache, CacheBounds, WrongDigest
from quarterdeck.backends.artifacts.checksums import is_literal
from quarterdeck.backends.artifacts.location import Location, parse
from quarterdeck.backends.artifacts.places import MAX_ARCHIVE_BYTES, Places, SftpConnect, within
from quarterdeck.backends.errors import THIS_MACHINE, ArtifactRefused, BackendError, NoSpace, NotPermitted
from quarterdeck.config.release import ResolvedArtifact

_ACTION = "fetch the artifact"


async def fetch(
    resolved: ResolvedArtifact,
    cache: Path,
    *,
    deadline: float = 600.0,
    connect: SftpConnect | None = None,
    keep: Collection[str] = (),
    bounds: CacheBounds | None = None,
    limit: int = MAX_ARCHIVE_BYTES,
) -> Path:
    """A file in the directory ``cache`` with the bytes of ``resolved.sha256``; checked now, also when it was there.

    ``deadline`` is seconds for all of it. ``connect`` opens SSH connections (sftp:// only; None: as ssh does). ``keep`` names further
    digests that must stay in the cache; ``bounds`` is what else may stay; ``limit`` is bytes of one file.
    Raises ``ArtifactMissing``, ``ArtifactRefused`` (other bytes than were resolved), ``Unreachable``, ``NotPermitted``,
    ``NoSpace``; the cache is as it was then.
    """
    if not is_literal(resolved.sha256):
        raise ArtifactRefused(THIS_MACHINE, _ACTION, "its SHA-256 is not 64 hex digits", left="Nothing was changed")
    sha256 = resolved.sha256.lower()
    location = parse(resolved.location, resolved.location)
    store = Cache(cache, bounds)
    async with within(deadline, location.shown, _ACTION):
        try:
            path = await asyncio.to_thread(store.find, sha256)
            if path is None:
                path = await _into(store, location, sha256, connect, limit)
                await asyncio.to_thread(store.prune, {sha256, *keep})
        except OSError as error:
            raise _disk_error(error, cache) from error
    return path


async def _into(store: Cache, location: Location, sha256: str, connect: SftpConnect | None, limit: int) -> Path:
    partial = store.begin()
    try:
        async with Places(_ACTION, connect=connect) as places:
            await (await places.of(location)).read(location, partial, limit=limit)
        await partial.flush()
        return await asyncio.to_thread(store.take, partial, sha256)
    except WrongDigest as wrong:
        raise ArtifactRefused(
            location.shown,
            _ACTION,
            f"its SHA-256 is {wrong.found}, and {sha256} was expected",
            left="Nothing was changed",
            advice="It was changed since, or its checksum is that of another build: build a new version",
        ) from None
    finally:
        partial.discard()


def _disk_error(error: OSError, cache: Path) -> BackendError:
    left, reason = "Nothing was changed", error.strerror or "input/output error"
    problem = f"the cache {cache}: {reason}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EROFS:
            return NoSpace(
                THIS_MACHINE, _ACTION, problem, left=left, advice="Make room there: all of it can be fetched again"
            )
        case errno.EACCES | errno.EPERM:
            return NotPermitted(
                THIS_MACHINE, _ACTION, problem, left=left, advice="Give the user who runs qd the right to write there"
            )
        case _:
            return BackendError(THIS_MACHINE, _ACTION, problem, left=left)
