"""A host that the contract is tried on, and a target's directory there."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quarterdeck.backends.hosts.contract import Connection, Fence, HostBackend, SecretValues
from quarterdeck.config.model import (
    Commands,
)
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import QUICK, quick_release
from tests.sshd import SshHost

NO_SECRETS = SecretValues()


@dataclass
class Place:
    """A host, a connection to it and a directory for a target there."""

    backend: HostBackend
    connection: Connection
    host: SshHost
    path: Path
    files: Path

    def release(self, version: str, *, commands: Commands = QUICK, **more: Any) -> tuple[Release, Path]:
        return quick_release(self.files, version, self.path, commands=commands, **more)

    def fence(self, epoch: int = 1, holder: str = "rollout 1, alice@bastion") -> Fence:
        return Fence("test/web", epoch, holder, f"{epoch}:abcdef")

    async def staged(self, version: str, **more: Any) -> Release:
        release, archive = self.release(version, **more)
        await self.connection.stage(release, archive, NO_SECRETS, self.fence())
        return release

    @property
    def calls(self) -> list[str]:
        file = self.path / "shared" / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def kept(self) -> list[Path]:
        return list((self.path / "releases").iterdir())

    @property
    def escaped(self) -> list[Path]:
        """What a member of an archive has written outside of its release."""
        return [*self.files.rglob("*escaped*"), *Path("/tmp").glob("qd-escaped")]

    @property
    def left_over(self) -> list[str]:
        """What an upload or a removal that was cut short would leave behind."""
        return [path.name for path in (self.path / "releases").glob(".*")] if self.path.exists() else []


async def become_healthy(connection: Connection, release: Release) -> None:
    assert release.health is not None
    outcome = await connection.check_health(release.health, release)
    async with asyncio.timeout(60):
        while not outcome.healthy:
            await asyncio.sleep(0.02)
            outcome = await connection.check_health(release.health, release)
