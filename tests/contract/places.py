"""Hosts of every kind that the contract is tried on, by what can be asked of all: which release runs, never which file lies where."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from quarterdeck.backends.hosts.contract import Connection, Fence, SecretValues, SwitchOutcome, TargetFacts
from quarterdeck.config.model import Commands, Hook
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import QUICK
from tests.boxes import Box
from tests.contract.place import Place

NO_SECRETS = SecretValues()


class AnyHost(ABC):
    """A target on a real host. Releases are told apart by their versions; ``broken`` ones end with 7 when they are started, and say
    ``oops``."""

    connection: Connection
    target: str
    path: str

    @abstractmethod
    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        """And the archive that it is staged from, None for an image."""

    @property
    @abstractmethod
    def running(self) -> list[str]:
        """Ids of the releases that run now."""

    @abstractmethod
    async def another(self) -> Connection:
        """As another worker would have one; closed by who asked for it."""

    def fence(self, epoch: int = 1, holder: str = "rollout 1, alice@bastion") -> Fence:
        return Fence(self.target, epoch, holder, f"{epoch}:abcdef")

    async def staged(self, version: str, *, broken: bool = False) -> Release:
        release, archive = self.release(version, broken=broken)
        await self.connection.stage(release, archive, NO_SECRETS, self.fence())
        return release

    async def facts(self) -> TargetFacts:
        return await self.connection.facts(self.target, self.path)

    async def moved_to(self, release: Release, op_id: str, epoch: int = 1) -> SwitchOutcome:
        """Switched, and what ran before it retired where it ran beside."""
        outcome = await self.connection.switch(release, NO_SECRETS, self.fence(epoch), op_id)
        if outcome.beside:
            assert self.running == sorted([str(outcome.current), release.id])
            outcome = await self.connection.retire(release, self.fence(epoch), f"{op_id}r")
        return outcome

    async def hooked(self, release: Release, command: str, op_id: str, epoch: int = 1) -> tuple[int, str, bool]:
        found = await self.connection.hook(Hook(command), command, release, self.fence(epoch), op_id)
        return found.exit_status, found.output.strip(), found.replayed


@dataclass
class SshTarget(AnyHost):
    place: Place

    def __post_init__(self) -> None:
        self.connection = self.place.connection
        self.target = "test/web"
        self.path = str(self.place.path)

    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        commands = Commands(start="echo oops; exit 7", stop="exit 9") if broken else QUICK
        return self.place.release(version, commands=commands)

    @property
    def running(self) -> list[str]:
        file = self.place.path / "shared" / "running"
        return [file.read_text().strip()] if file.exists() else []

    async def another(self) -> Connection:
        return await self.place.backend.connect(self.place.host.as_host())


@dataclass
class DockerTarget(AnyHost):
    box: Box

    def __post_init__(self) -> None:
        self.connection = self.box.connection
        self.target = self.box.target
        self.path = ""

    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        if broken:
            image = {"name": "broken", "command": ["sh", "-c", "echo oops; exit 7"]}
            return self.box.release(version, image=image, health=None), None
        return self.box.release(version), None

    @property
    def running(self) -> list[str]:
        return self.box.running

    async def another(self) -> Connection:
        return await self.box.another()
