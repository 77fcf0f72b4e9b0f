"""Hosts of every kind that the contract is tried on, by what can be asked of all: which release runs, never which file lies where."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import msgspec

from quarterdeck.backends.hosts.contract import Connection, Fence, SecretValues, SwitchOutcome, TargetFacts
from quarterdeck.config.container import PublishedPort
from quarterdeck.config.model import Commands, Hook, Runner, Slots
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import IN_SLOTS, QUICK, SERVES_IN_SLOTS, http_release, quick_release
from tests.boxes import HEALTH, Box
from tests.contract.place import Place
from tests.sshd import free_range
from tests.swarm_field import SHOWN, Field, connect
from tests.synthetic.connection import SyntheticConnection
from tests.synthetic.world import World

NO_SECRETS = SecretValues()
BROKEN = Commands(start="echo oops; exit 7", stop="exit 9")


class AnyHost(ABC):
    """A target on a real host. Releases are told apart by their versions; ``broken`` ones end with 7 when they are started, and say
    ``oops``."""

    connection: Connection
    target: str
    path: str
    is_real = True  # nothing is counted for a promise on one that is not

    @abstractmethod
    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        """And the archive that it is staged from, None for an image."""

    def serving(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        """One that answers HTTP at ``port``, and can run beside another."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """That its health gate asks."""
        raise NotImplementedError

    def life(self, release: Release) -> str:
        """The same for as long as that release, which is ``serving``, is not started anew."""
        raise NotImplementedError

    @property
    @abstractmethod
    def running(self) -> list[str]:
        """Ids of the releases that run now."""

    @abstractmethod
    async def another(self) -> Connection:
        """As another worker would have one; closed by who asked for it."""

    def fence(self, epoch: int = 1, holder: str = "rollout 1, alice@bastion") -> Fence:
        return Fence(self.target, epoch, holder, f"{epoch}:abcdef")

    async def staged(self, version: str, *, broken: bool = False, serving: bool = False) -> Release:
        release, archive = (self.serving if serving else self.release)(version, broken=broken)
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
        commands = BROKEN if broken else QUICK
        return self.place.release(version, commands=commands)

    @property
    def running(self) -> list[str]:
        file = self.place.path / "shared" / "running"
        return [file.read_text().strip()] if file.exists() else []

    async def another(self) -> Connection:
        return await self.place.backend.connect(self.place.host.as_host())


@dataclass
class SlotTarget(SshTarget):
    """The same with two slots: a new release starts beside the old one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.slots = Slots(*free_range(2, self.place.host.address))

    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        commands = BROKEN if broken else IN_SLOTS
        return self.place.release(version, runner=Runner(commands=commands, slots=self.slots))

    @property
    def port(self) -> int:
        return self.slots.green

    def serving(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        address = self.place.host.address
        release, archive = http_release(self.place.files, version, self.place.path, address, self.port)
        commands = BROKEN if broken else SERVES_IN_SLOTS
        return msgspec.structs.replace(
            release,
            target=self.target,
            runner=Runner(commands=commands, slots=self.slots),
            env={**release.env, "PORT": "{port}"},
        ), archive

    def life(self, release: Release) -> str:
        shared = self.place.path / "shared"
        slot = next(file.suffix for file in shared.glob("running.*") if file.read_text().strip() == release.id)
        return (shared / f"pid{slot}").read_text()

    @property
    def running(self) -> list[str]:
        return sorted(file.read_text().strip() for file in (self.place.path / "shared").glob("running.*"))


@dataclass
class SyntheticTarget(AnyHost):
    """In memory, for simulations: what is said of thousands of hosts stands on this being a host like the others."""

    world: World
    files: Path
    is_real = False

    def __post_init__(self) -> None:
        self.target = "test/web"
        self.path = "/srv/web"
        self.connection = SyntheticConnection(self.world, self.world.host("web-1"))

    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        release, archive = quick_release(self.files, version, Path(self.path), commands=BROKEN if broken else QUICK)
        if broken:
            self.world.broken[release.id] = (7, "oops")
        return release, archive

    @property
    def running(self) -> list[str]:
        running = self.world.host("web-1").of(self.target).running
        return [] if running is None else [running]

    async def another(self) -> Connection:
        return SyntheticConnection(self.world, self.world.host("web-1"))


@dataclass
class DockerTarget(AnyHost):
    box: Box

    def __post_init__(self) -> None:
        self.connection = self.box.connection
        self.target = self.box.target
        self.path = ""
        self.published = free_range()

    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        if broken:
            image = {"name": "broken", "command": ["sh", "-c", "echo oops; exit 7"]}
            return self.box.release(version, image=image, health=None), None
        return self.box.release(version), None

    @property
    def running(self) -> list[str]:
        return self.box.running

    def serving(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        ports = PublishedPort(8080, f"{self.published[0]}-{self.published[-1]}", "127.0.0.1")
        image = {"name": "broken", "command": ["sh", "-c", "echo oops; exit 7"]} if broken else None
        return self.box.release(
            version,
            image=image,
            spec=self.box.spec(ports=(ports,), restart="always"),
            health=None if broken else HEALTH,
        ), None

    @property
    def port(self) -> int:
        return 8080

    def life(self, release: Release) -> str:
        (name,) = [
            name
            for name, one in self.box.containers(running=True).items()
            if one["Labels"]["dev.quarterdeck.release"] == release.id
        ]
        return str(self.box.inspect(name)["State"]["StartedAt"])

    async def another(self) -> Connection:
        return await self.box.another()


@dataclass
class SwarmTarget(AnyHost):
    place: Field

    def __post_init__(self) -> None:
        self.connection = self.place.connection
        self.target = self.place.target
        self.path = ""
        self.ports = self.place.ranges()

    def release(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        image = {"name": "broken", "exits": True} if broken else None
        return self.place.release(version, image=image), None

    def serving(self, version: str, *, broken: bool = False) -> tuple[Release, Path | None]:
        image = {"name": "broken", "exits": True} if broken else None
        return self.place.release(
            version, image=image, spec=self.place.spec(ports=self.ports), health=None if broken else SHOWN
        ), None

    @property
    def port(self) -> int:
        return 8080

    def life(self, release: Release) -> str:
        return " ".join(
            sorted(
                one["ID"]
                for one in self.place.tasks()
                if one["Spec"]["ContainerSpec"]["Labels"]["dev.quarterdeck.release"] == release.id
            )
        )

    @property
    def running(self) -> list[str]:
        return self.place.running

    async def another(self) -> Connection:
        return await connect(self.place.swarm)
