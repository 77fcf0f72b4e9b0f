"""What is on an engine of a target: its containers and what each of them is to it. Reads, and judges what was read; changes nothing."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.register import Reading, Register, State, epoch_of
from quarterdeck.backends.hosts.manifest import parse_manifest
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.release import Release, release_from_json

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

Body = Mapping[str, Any]
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the target, as the list of the engine has it. ``state``: created, running, paused, restarting, exited, dead,
    removing."""

    id: str
    name: str
    image: str  # the image's id
    created: int
    state: str
    labels: Mapping[str, str]

    @property
    def release(self) -> str:
        return self.labels.get(names.RELEASE, "")

    @property
    def is_live(self) -> bool:
        """It has the name that only one container can have."""
        return self.name == self.labels.get(names.NAME)

    @property
    def is_complete(self) -> bool:
        """It was made to its end: until then it has another name."""
        live = self.labels.get(names.NAME, "")
        return self.is_live or self.name == names.kept_name(live, self.release)

    @property
    def runs(self) -> bool:
        return self.state in ("running", "paused", "restarting")

    @property
    def manifest(self) -> Mapping[str, Any] | None:
        return manifest_in(self.labels)

    @property
    def spec(self) -> ContainerSpec | None:
        """How it was made; None where its label tells nothing sound."""
        body = self.manifest
        try:
            return release_from_json(body["release"]).container if body else None
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Seen:
    state: State
    containers: tuple[Container, ...]  # of releases; newest first
    aside: tuple[Container, ...] = ()  # of no release: hooks, ways into memory
    reading: Reading | None = None  # of the target's own register; None where it was read with those of others

    @property
    def epoch(self) -> int:
        return max([self.state.epoch, *(epoch_of(one.labels) for one in self.containers)])

    @property
    def live(self) -> Container | None:
        """The one that has the live name. Of two, where the name has changed between two releases, the one that runs."""
        found = [one for one in self.containers if one.is_live]
        return next((one for one in found if one.runs), found[0] if found else None)

    @property
    def current(self) -> str | None:
        """The live container's release. Where the name is nobody's, since an action was cut short: the release that was live before it."""
        if self.live is not None:
            return self.live.release
        before = self.state.current
        return before if any(one.release == before for one in self.containers) else None

    @property
    def running(self) -> tuple[Container, ...]:
        return tuple(one for one in self.containers if one.runs)

    def of(self, release: Release) -> Container | None:
        """The container that is started for ``release``: the live one, or the one that is kept. Where both run, which are of one release
        with other secrets, the one that was started beside the live one."""
        found = [
            one
            for one in self.containers
            if one.release == release.id and one.labels.get(names.DIGEST) == release.digest and one.is_complete
        ]
        kept = next((one for one in found if not one.is_live), None)
        live = next((one for one in found if one.is_live), None)
        if live is not None and kept is not None:
            return kept if kept.runs else live
        return live or kept


async def look(engine: "Engine", target: str, action: str, *, deadline: float) -> Seen:
    reading, listed = await together(
        Register(engine, target).look(action, deadline=deadline), _list(engine, target, action, deadline)
    )
    return replace(seen_in(reading.state, listed), reading=reading)


def seen_in(state: State, listed: Sequence[Body]) -> Seen:
    """``listed``: the target's containers, as a list of the engine has them."""
    newest_first = sorted(listed, key=lambda one: -int(one.get("Created", 0)))
    containers = [_container(one) for one in newest_first]
    of_releases = tuple(one for one in containers if names.ROLE not in one.labels)
    return Seen(state, of_releases, tuple(one for one in containers if names.ROLE in one.labels))


async def together(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both at the same time. What one raises is raised as it is, and ends the other."""
    try:
        async with asyncio.TaskGroup() as group:
            one, other = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return one.result(), other.result()


async def others(engine: "Engine", target: str, action: str, *, deadline: float) -> tuple[Container, ...]:
    """Containers of the target that are no release's: of hooks, and ways into memory, that were left behind."""
    found = [_container(one) for one in await _list(engine, target, action, deadline)]
    return tuple(one for one in found if names.ROLE in one.labels)


async def inspect(engine: "Engine", action: str, container: str, *, deadline: float) -> Body | None:
    """By id or name; None: there is none."""
    try:
        found: Body = await engine.call(action, lambda client: client.inspect_container(container), deadline=deadline)
    except EngineRefused as error:
        if error.status == 404:
            return None
        raise
    return found


async def find_image(engine: "Engine", action: str, reference: str, *, deadline: float) -> Body | None:
    """The image on the engine; None: it is not there."""
    try:
        found: Body = await engine.call(action, lambda client: client.inspect_image(reference), deadline=deadline)
    except EngineRefused as error:
        if error.status == 404:
            return None
        raise
    return found


async def _list(engine: "Engine", target: str, action: str, deadline: float) -> Sequence[Body]:
    filters = {"label": [f"{names.TARGET}={target}"]}
    found: list[Body] = await engine.call(
        action, lambda client: client.containers(all=True, filters=filters), deadline=deadline
    )
    return found


def _container(body: Body) -> Container:
    return Container(
        id=body["Id"],
        name=name_in(body),
        image=body.get("ImageID", ""),
        created=int(body.get("Created", 0)),
        state=body.get("State", ""),
        labels=body.get("Labels") or {},
    )


def name_in(body: Body) -> str:
    """Of a container in a list."""
    given = [name.removeprefix("/") for name in body.get("Names") or []]
    return next((name for name in given if "/" not in name), "")  # the others are names of links


def manifest_in(labels: Mapping[str, str]) -> Mapping[str, Any] | None:
    return parse_manifest(labels.get(names.MANIFEST, ""))
