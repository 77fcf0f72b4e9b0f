"""The image of a release that no registry has, as a file on this machine, saved from an engine that has it."""

from pathlib import Path

from quarterdeck.backends.artifacts.cache import Partial
from quarterdeck.backends.errors import ArtifactMissing, BackendError
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release


async def fetch_image(backend: Hosts, target: Target, release: Release, folder: Path) -> Path:
    """A file that is there until this process ends: what dead ones left is cleared away with the other halves of downloads.

    It is asked for where images are made, then on the target's own hosts. Raises the ``BackendError`` of the first one, or
    ``ArtifactMissing``.
    """
    first: BackendError | None = None
    hosts = [*([target.images_on] if target.images_on is not None else []), *target.hosts]
    for host in hosts:
        partial = Partial(folder)
        try:
            await backend.save_image(host, release, partial)
        except BackendError as error:
            partial.discard()
            first = first or error
        except BaseException:
            partial.discard()
            raise
        else:
            _kept.append(partial)
            return partial.path
    raise first or ArtifactMissing(target.name, f"save the image of {release.id}", "no engine is known that has it")


_kept: list[Partial] = []  # their locks hold until this process ends
