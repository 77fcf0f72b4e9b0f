"""Secrets that a container gets as files: they lie in the host's memory, in a directory that only root can enter, one for a container.

The way there is a container that is never started, with /dev/shm bound to it: the engine unpacks an archive through the bind. They do
not survive a reboot of the host. A value is in an archive and nowhere else: no label, no argument, no message."""

import io
import secrets
import tarfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.spec import SecretBind
from quarterdeck.config.container import ContainerFile, ContainerSpec, SecretFile

_MEMORY: Final = "/dev/shm"  # noqa: S108 # the host's memory, which is what is wanted
_INSIDE: Final = "/quarterdeck"  # where the carrier has it
_PREFIX: Final = "quarterdeck-"

Ask = Callable[[Callable[[Any], bytes]], Awaitable[bytes]]


def new_directory(target: str) -> str:
    """The name of a directory for the secrets of one container."""
    return f"{_PREFIX}{names.slug(target)}-{secrets.token_hex(6)}"


def binds(spec: ContainerSpec, directory: str) -> tuple[SecretBind, ...]:
    return tuple(SecretBind(f"{_MEMORY}/{directory}/{number}", one.target) for number, one in enumerate(spec.secrets))


@asynccontextmanager
async def filled(
    gate: Gate, image: str, directory: str, spec: ContainerSpec, values: Mapping[str, str]
) -> AsyncGenerator[None, None]:
    """Writes every secret file of ``spec``; those whose value is not among ``values`` are empty. The carrier stays until the container
    is made whose files they are: one of the two always tells that the directory is there."""
    files = [(str(number), one, values.get(one.source, "")) for number, one in enumerate(spec.secrets)]
    async with _carrier(gate, image, {names.SECRETS: directory}) as carrier:
        await _put(gate, carrier, _archive(directory, files))
        yield


async def remove_with(gate: Gate, image: str, directory: str, container: Callable[[], Awaitable[bool]]) -> bool:
    """Removes the directory after what it was bound into, whose removal ``container`` is: nobody is to find a container whose files are
    gone. Between the two the carrier tells that the directory is there. The engine has no call for it: an entry of an archive that is to
    be a link takes the place of what has its name, and a link to nothing can't be made."""
    if not directory.startswith(_PREFIX) or "/" in directory:
        return await container()
    entry = tarfile.TarInfo(directory)
    entry.type = tarfile.LNKTYPE
    entry.linkname = f"{directory}.nothing"
    removed: bool | None = None
    with suppress(EngineRefused):
        async with _carrier(gate, image, {names.SECRETS: directory}) as carrier:
            removed = await container()
            with suppress(EngineRefused):  # as it should: the link is not made, the directory is gone
                await _put(gate, carrier, _tar([(entry, b"")]))
    return await container() if removed is None else removed


@asynccontextmanager
async def _carrier(gate: Gate, image: str, labels: Mapping[str, str]) -> AsyncGenerator[str, None]:
    body: dict[str, Any] = {
        "Image": image,
        "Cmd": ["never started"],
        "Labels": {
            names.TARGET: gate.fence.target,
            names.ROLE: names.CARRIER,
            names.EPOCH: str(gate.fence.epoch),
            **labels,
        },
        "HostConfig": {"Binds": [f"{_MEMORY}:{_INSIDE}"], "NetworkMode": "none"},
    }
    made = await gate.act(lambda client: client.create_container_from_config(body))
    try:
        yield made["Id"]
    finally:
        await gate.act_if_there(lambda client: client.remove_container(made["Id"], v=True, force=True))


async def _put(gate: Gate, carrier: str, data: bytes) -> None:
    await gate.act(lambda client: client.put_archive(carrier, _INSIDE, data))


async def hold(gate: Gate, container: str, spec: ContainerSpec, values: Mapping[str, str]) -> bool:
    """Whether the files are there, and as ``values`` say. A value that is not given is not compared."""
    for one in spec.secrets:
        found = await _read(gate.ask, container, one)
        if found is None or (one.source in values and found != values[one.source].encode("utf-8", "surrogateescape")):
            return False
    return True


async def are_there(ask: Ask, container: str, spec: ContainerSpec) -> bool:
    return all([await _read(ask, container, one) is not None for one in spec.secrets])


async def read_all(ask: Ask, container: str, spec: ContainerSpec) -> list[str]:
    """The values that are there, to be hidden in what is recorded."""
    found = [await _read(ask, container, one) for one in spec.secrets]
    return [one.decode("utf-8", "surrogateescape") for one in found if one]


async def _read(ask: Ask, container: str, secret: SecretFile) -> bytes | None:
    def get(client: Any) -> bytes:
        pieces, _ = client.get_archive(container, secret.target)
        return b"".join(pieces)

    try:
        data = await ask(get)
    except EngineRefused:
        return None  # gone with the host's memory
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None else None
        return file.read() if file is not None else None


def files_archive(files: Sequence[ContainerFile]) -> bytes:
    """The release's own files, to be unpacked at ``/`` of the container."""
    entries = []
    for one in files:
        content = one.content.encode("utf-8", "surrogateescape")
        entries.append((_entry(one.target.lstrip("/"), one.uid, one.gid, one.mode), content))
    return _tar(entries)


def _archive(directory: str, files: Sequence[tuple[str, SecretFile, str]]) -> bytes:
    home = tarfile.TarInfo(directory)
    home.type = tarfile.DIRTYPE
    home.mode = 0o700
    entries = [(home, b"")]
    for name, one, value in files:
        entries.append(
            (_entry(f"{directory}/{name}", one.uid, one.gid, one.mode), value.encode("utf-8", "surrogateescape"))
        )
    return _tar(entries)


def _entry(name: str, uid: int, gid: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.uid, entry.gid, entry.mode = uid, gid, mode
    return entry


def _tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
