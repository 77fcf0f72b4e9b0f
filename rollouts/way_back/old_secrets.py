"""The secrets of a release that is put back: what its references give now. A source that is down must not stop a rollback."""

import asyncio
import logging
from pathlib import Path

import msgspec

from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.backends.secrets import resolve_each, same
from quarterdeck.config.release import Release

log = logging.getLogger("quarterdeck.worker")


class OldSecrets(msgspec.Struct, frozen=True):
    """``readable``: to be masked. ``to_write``: all of them, or none where one is missing, and then what lies on the hosts is
    kept. ``states`` by name: same, changed or unavailable."""

    readable: SecretValues
    to_write: SecretValues
    states: dict[str, str]


async def old_secrets(release: Release, base: Path, *, deadline: float = 8.0) -> OldSecrets:
    """Each one by itself, ``deadline`` seconds for all. Raises nothing for one that can't be read."""
    values, refused = await resolve_each(
        {name: record.reference for name, record in release.secrets.items()}, base=base, deadline=deadline
    )
    if refused is not None:
        log.warning("secrets of %s kept as they are on the hosts, reason=%s", release.id, refused)
    known = await asyncio.to_thread(
        lambda: {name: same(value, release.secrets[name].fingerprint) for name, value in values.values.items()}
    )
    words = {True: "same", False: "changed", None: "unavailable"}
    states = {name: words[known.get(name)] for name in release.secrets}
    return OldSecrets(values, values if refused is None else SecretValues({}), states)
