"""What stands between a target and its way back beside the hosts: secrets that can't be read any more, hooks that nobody can undo. Asked
where somebody wants to know; looking at hosts again and again asks no source of secrets."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.way_back.facts import LOOKED_BACK, undone_by_nobody
from quarterdeck.rollouts.way_back.old_secrets import old_secrets

AT_ONCE: Final = 8  # releases whose secrets are asked for at the same time
DEADLINE: Final = 8.0  # seconds for those of one release


class Beside(msgspec.Struct, frozen=True):
    """``secrets``: by name same, changed or unavailable, of the release that a rollback brings back; ``irreversible``: commands of hooks
    that ran since it was left and can't be undone."""

    secrets: Mapping[str, str] = {}
    irreversible: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """What is in the way."""
        return [
            f"secret {name} can't be read" for name, state in sorted(self.secrets.items()) if state == "unavailable"
        ]

    def words(self, version: str) -> list[str]:
        """One line for each thing that is no obstacle and worth knowing. ``version``: where the way back leads."""
        changed = sorted(name for name, state in self.secrets.items() if state == "changed")
        found = [f"secret {name} has changed since {version}: a rollback brings its value of now" for name in changed]
        return found + [f"ran since {version}, and can't be undone: {command}" for command in self.irreversible]


async def beside(journal: Journal, targets: Iterable[TargetSeen], base: Path) -> dict[str, Beside]:
    """For each target that has a way back at all. ``base``: the fleet file's directory. Raises JournalError; nothing for a secret."""
    releases: dict[str, Release] = {}
    commands: dict[str, tuple[str, ...]] = {}
    for seen in targets:
        row = journal.release(seen.back.release) if seen.back.release is not None else None
        if row is not None:
            releases[seen.target] = row.release
            history = journal.rollouts(seen.target, limit=LOOKED_BACK)
            lasting = [one for one in history if one.kind is not RolloutKind.DRILL]
            commands[seen.target] = undone_by_nobody(journal, seen.release, row.id, lasting)
    gate = asyncio.Semaphore(AT_ONCE)

    async def states(release: Release) -> Mapping[str, str]:
        if not release.secrets:
            return {}
        async with gate:
            return (await old_secrets(release, base, deadline=DEADLINE)).states

    found = await asyncio.gather(*(states(release) for release in releases.values()))
    return {name: Beside(secrets, commands[name]) for name, secrets in zip(releases, found, strict=True)}
