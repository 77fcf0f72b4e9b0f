"""Nothing changes in a Swarm for a target but through this: never for an old epoch, never twice for the same operation, and each change of
a service begins with the version at which it was read."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import docker
import docker.errors

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused, Fenced
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.backends.hosts.docker.names import EPOCH, NONCE
from quarterdeck.backends.hosts.docker.operation import Operation
from quarterdeck.backends.hosts.docker.register import State, epoch_of
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.credentials import registry_header
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, is_of, look, service_in
from quarterdeck.backends.hosts.swarm.names import LEAVING
from quarterdeck.backends.hosts.swarm.register import Reading, Register
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.swarm.managers import Managers

T = TypeVar("T")
Spec = dict[str, Any]
_RECORDING: Final = 45.0  # seconds: also where the action itself has used up its time; an election takes up to twenty
ANSWER: Final = 6.0  # seconds for what only looks, also right before the action's own end
_LOGIN: Final = 15.0  # seconds in which a login to a registry must be had
_TRIES: Final = 20  # changes of a service that came in between, most of them Swarm's own


class ServiceGone(CommandFailed):
    """A service that was there is not there any more."""


class SwarmGate(Operation[Seen]):
    """One action of one worker on one target. ``wants`` as in ``Operation``."""

    def __init__(
        self,
        managers: "Managers",
        fence: Fence,
        words: str,
        deadline: float,
        *,
        wants: str | None = None,
        auth: Auth = no_auth,
    ) -> None:
        super().__init__(managers.host, fence, words, wants)
        self.managers = managers
        self.register = Register(managers, fence.target)
        self._auth = auth
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + deadline
        self._reading: Reading | None = None
        self._logins: dict[str, dict[str, str]] = {}  # by image, as a request has them
        self.no_login = ""  # why one could not be had

    @property
    def left(self) -> float:
        """Seconds that are left of the action's deadline."""
        return max(0.05, self._until - self._now())

    @property
    def is_over(self) -> bool:
        """The action's deadline has passed."""
        return self._now() >= self._until

    def allow(self, seconds: float) -> None:
        """So many more, from now on, where fewer are left: something has come forward."""
        self._until = max(self._until, self._now() + seconds)

    async def ask(self, function: "Callable[[docker.APIClient], T]") -> T:
        """What changes nothing."""
        return await self.managers.ask(self.words, function, deadline=max(ANSWER, self.left))

    async def look(self) -> Seen:
        await self.managers.settled(self.left)
        seen = await look(self.managers, self.fence.target, self.words, deadline=max(_RECORDING, self.left))
        if self.fence.epoch < seen.epoch:
            holder = seen.state.holder if seen.state.epoch == seen.epoch else ""
            raise Fenced(self.host, self.words, epoch=self.fence.epoch, seen=seen.epoch, holder=holder)
        self.register.judge(self.fence, seen.reading, self.words)
        self._reading = seen.reading
        return seen

    async def check(self) -> None:
        self._reading = await self.register.look(self.words, deadline=max(_RECORDING, self.left))
        self.register.judge(self.fence, self._reading, self.words)

    async def remember(self, change: Callable[[State], State], floor: int = 0) -> None:
        left = max(_RECORDING, self.left)
        self._reading = await self.register.write(
            self.fence, self.words, change, deadline=left, floor=floor, reading=self._reading
        )

    async def claimed(self, seen: Seen) -> Seen:
        """Marks the services with this worker's epoch, so that Swarm itself refuses what an older one still sends. One that is in the
        middle of an update is left alone: any change would set that going."""
        old = [one for one in seen.services if epoch_of(one.labels) < self.fence.epoch and is_still(seen, one)]
        if not old:
            return seen
        touched = self.touched
        try:
            async with asyncio.TaskGroup() as group:
                for one in old:
                    group.create_task(self.change_service(one, lambda now: dict(now.spec), once=True))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        self.touched = touched  # nothing of what runs was changed by it
        return await self.look()

    async def create_service(self, spec: Spec, release: Release) -> Service:
        """Raises ``EngineRefused`` with 409 where the name is taken."""
        await self.check()
        nonce = secrets.token_hex(8)
        body = self._marked(spec, nonce)
        header = await self._login(release)

        def create(client: "docker.APIClient") -> Service:
            made = calls.post(client, "/services/create", body, headers=header)
            return service_in(calls.get(client, f"/services/{made['ID']}"))

        def is_made(client: "docker.APIClient") -> Service | None:
            found = [service_in(one) for one in calls.get(client, "/services", name=[body["Name"]])]
            return next((one for one in found if one.labels.get(NONCE) == nonce), None)

        self.touched = True
        made = await self.managers.change(self.words, create, is_made, deadline=self.left)
        try:
            await self.check()
        except Fenced:
            await self._take_back(made)
            raise
        return made

    async def _take_back(self, made: Service) -> None:
        """A service that was created after a newer worker had taken over, as long as that one has not gone on with it."""

        def remove(client: "docker.APIClient") -> bool:
            now = service_in(calls.get(client, f"/services/{made.id}"))
            if now.labels.get(NONCE) == made.labels.get(NONCE):
                calls.delete(client, f"/services/{made.id}")
            return True

        try:
            await self.managers.ask(self.words, remove, deadline=_RECORDING)
        except BackendError:
            return  # the facts tell of it

    async def change_service(
        self, service: Service, build: Callable[[Service], Spec], release: Release | None = None, *, once: bool = False
    ) -> Service:
        """The service as it is after it was given what ``build`` makes of it, which is asked again where another change came in between.
        ``once``: where one came, nothing is done. ``release``: whose image nodes may have to fetch. Raises ``Fenced``, and
        ``CommandFailed`` where the service is gone."""
        header = await self._login(release) if release is not None else {}
        for _ in range(_TRIES):
            await self.check()
            nonce = secrets.token_hex(8)
            body, now = self._marked(build(service), nonce), service

            def update(client: "docker.APIClient", body: Body = body, now: Service = now) -> Service:
                calls.post(client, f"/services/{now.id}/update", body, version=now.version, headers=header)
                return service_in(calls.get(client, f"/services/{now.id}"))

            def is_made(client: "docker.APIClient", nonce: str = nonce, now: Service = now) -> Service | None:
                found = service_in(calls.get(client, f"/services/{now.id}"))
                return found if found.labels.get(NONCE) == nonce else None

            self.touched = True
            try:
                changed = await self.managers.change(self.words, update, is_made, deadline=max(_RECORDING, self.left))
            except EngineRefused as error:
                if error.status == 404:
                    raise self.gone(service) from None
                if not calls.has_moved(error):
                    raise
                if once:
                    return service
            else:
                return changed
            service = await self._again(service)
            if service.labels.get(NONCE) == nonce:
                return service  # our own: its answer was lost, and it was sent once more
        raise BackendError(
            self.host,
            self.words,
            f"the service {service.name} was changed {_TRIES} times meanwhile",
            advice="look who else is at work there",
        )

    async def _again(self, service: Service) -> Service:
        try:
            now = service_in(await self.ask(lambda client: calls.get(client, f"/services/{service.id}")))
        except EngineRefused as error:
            if error.status == 404:
                raise self.gone(service) from None
            raise
        if epoch_of(now.labels) > self.fence.epoch:
            await self.check()  # which tells who that is
            raise Fenced(self.host, self.words, epoch=self.fence.epoch, seen=epoch_of(now.labels))
        return now

    async def remove_service(self, service: Service) -> None:
        """Announced by a label first: a removal begins with no version, and nobody is to go on with what is going to be removed."""
        if LEAVING not in service.labels:
            try:
                service = await self.change_service(service, _leaving)
            except ServiceGone:
                return
        await self.remove(f"/services/{service.id}")

    async def remove(self, path: str) -> bool:
        """Whether it was there and is not needed by anything."""
        await self.check()
        self.touched = True

        def delete(client: "docker.APIClient") -> bool:
            calls.delete(client, path)
            return True

        def is_gone(client: "docker.APIClient") -> bool | None:
            try:
                calls.get(client, path)
            except docker.errors.NotFound:
                return True
            return None

        try:
            return await self.managers.change(self.words, delete, is_gone, deadline=max(_RECORDING, self.left))
        except EngineRefused as error:
            if error.status in (400, 404, 409):  # 400: a secret, or a config, that a service has
                return False
            raise

    def gone(self, service: Service) -> ServiceGone:
        return ServiceGone(
            self.host,
            self.words,
            f"the service {service.name} was removed by somebody else",
            exit_status=None,
            left="What it ran has ended, or ends",
            advice="deploy again: it is made anew",
        )

    async def _login(self, release: Release) -> dict[str, str]:
        """What nodes may need to fetch the image of ``release``, asked for once. Where it can't be had the change is made without: Swarm
        keeps the login that the service has, and a way back leads to what nodes mostly have."""
        image = release.artifact.location
        if image not in self._logins:
            try:
                async with asyncio.timeout(_LOGIN):
                    self._logins[image] = await registry_header(self._auth, release)
            except BackendError as error:
                self._logins[image], self.no_login = {}, error.problem
            except TimeoutError:
                self._logins[image], self.no_login = {}, f"not told within {_LOGIN:g} s"
        return self._logins[image]

    def _marked(self, spec: Mapping[str, Any], nonce: str) -> Spec:
        labels = {**(spec.get("Labels") or {}), EPOCH: str(self.fence.epoch), NONCE: nonce}
        return {**spec, "Labels": labels}


def _leaving(now: Service) -> Spec:
    spec = dict(now.spec)
    return {**spec, "Labels": {**(spec.get("Labels") or {}), LEAVING: "yes"}}


def is_still(seen: Seen, service: Service) -> bool:
    """Whether a change of labels alone would set nothing going, and leave nothing lying: each task that is to run is as the service says,
    and has a node. One that waits for a node Swarm forgets with any change of its service, whichever node comes back. (moby/swarmkit,
    manager/scheduler/scheduler.go, noSuitableNode: "task belongs to old revision of service".)"""
    wanted = [one for one in seen.of(service) if one.is_wanted]
    return service.update != "updating" and all(one.node and is_of(one, service) for one in wanted)
