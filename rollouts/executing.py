"""An operator's command on hosts of a target: who may, where, and what the journal keeps of it. It is no rollout: nothing takes it back.

The words of the command are kept without the values of secrets; what it prints is kept nowhere.
"""

import asyncio
import shlex
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Exited, HostBackend, Printed, Terminal, Typed
from quarterdeck.backends.secrets import Masker, resolve_each
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import Host, SecretReference, Target
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.logs.merged import chosen_hosts
from quarterdeck.rollouts.refusals import UnknownPart

CONNECT = 10.0  # seconds
RESOLVING = 8.0
LOOKING = 20.0  # for the tasks of a swarm: as long as one takes to choose another leader
WORDS_KEPT = 2000  # characters of the command
LIMIT = 600.0  # seconds for a command that nobody gives another limit


class Words(msgspec.Struct, frozen=True):
    """``kept``: the command as the journal has it. ``masker``: for what is shown of its output."""

    kept: str
    masker: Masker


class Place(msgspec.Struct, frozen=True):
    """Where a command is run. ``task``: of a swarm, as ``Connection.exec_in`` has it. ``failure``: why its tasks are not known; nothing is
    run there then."""

    host: Host
    task: str = ""
    failure: BackendError | None = None

    @property
    def name(self) -> str:
        """As an operator gives it: HOST, HOST:SLOT or HOST@NODE."""
        return place_name(self.host.name, self.task)

    def named_in(self, text: str) -> str:
        """``text`` of an error, which begins with the host's name, with the place's name there."""
        return f"{self.name}{text.removeprefix(self.host.name)}" if text.startswith(f"{self.host.name}: ") else text


def place_name(host: str, task: str) -> str:
    """HOST, HOST:SLOT or HOST@NODE; ``task`` as the journal's events have it, empty: none."""
    return f"{host}{'' if task.startswith('@') or not task else ':'}{task}"


def allowed(control: Control, target: str, only: Collection[str]) -> tuple[Target, list[Place]]:
    """The target and its places that are meant; none is named: all of its hosts. Raises UnknownTarget, UnknownPart, Refused (role,
    read-only)."""
    declared = control.permitted(target)
    if not only:
        return declared, [Place(host) for host in declared.hosts]
    places = {place.name: place for place in (place_named(declared, name) for name in only)}
    order = [host.name for host in declared.hosts]
    return declared, sorted(places.values(), key=lambda place: order.index(place.host.name))


def place_named(target: Target, name: str) -> Place:
    """What ``name`` means: a host, or of a swarm HOST:SLOT or HOST@NODE. Raises UnknownPart."""
    hosts = {host.name: host for host in target.hosts}
    mark = next((one for one in name if one in ":@"), "")
    before, _, part = name.partition(mark) if mark else (name, "", "")
    if name in hosts or before not in hosts:
        return Place(chosen_hosts(target, [name])[0])
    host = hosts[before]
    if not host.swarm:
        raise UnknownPart(f"{host.name} is no swarm: it has no task {part}", f"name the host alone: {host.name}")
    if not part:
        raise UnknownPart(
            f"{name} names no task", f"name one as {host.name}:2, or that of a node as {host.name}@HOSTNAME"
        )
    if mark == ":" and not (part.isascii() and part.isdecimal() and int(part)):
        raise UnknownPart(
            f"{part} is no slot of a service: those are counted from 1",
            f"name a task as {host.name}:2, or that of a node as {host.name}@HOSTNAME",
        )
    return Place(host, str(int(part)) if mark == ":" else f"@{part}")


async def spread(backend: HostBackend, target: Target, places: Sequence[Place]) -> list[Place]:
    """The places, and in the place of each swarm without a task one for each of its tasks that run of what is current (where none of those
    does, of whatever runs), in the order of slots and nodes. A swarm whose tasks can't be asked for has ``failure``; one without any is
    left as it is."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_each_task(backend, target, place)) for place in places]
    found = (place for task in asked for place in task.result())
    return list({(place.host.name, place.task): place for place in found}.values())


async def _each_task(backend: HostBackend, target: Target, place: Place) -> list[Place]:
    if not place.host.swarm or place.task:
        return [place]
    try:
        connection = await backend.connect(place.host, deadline=CONNECT)
        try:
            facts = await connection.facts(target.name, target.path, deadline=LOOKING)
        finally:
            await leave(connection)
    except BackendError as error:
        # It is not tried without: a command for all tasks that ran in one of them would end well.
        return [Place(place.host, failure=error)]
    running = [one for one in facts.tasks if one.state == "running" and one.wanted and one.node]
    meant = [one for one in running if one.release == facts.current] or running  # as ``exec_in`` chooses
    meant.sort(key=lambda one: (one.slot, one.node))
    return [Place(place.host, str(one.slot) if one.slot else f"@{one.node}") for one in meant] or [place]


async def words_of(journal: Journal, target: Target, base: Path, command: Sequence[str]) -> Words:
    """Without the values of the target's secrets, as they are now. Where one can't be read, it can't be told from other words: then
    only the first word is kept."""
    references: dict[str, SecretReference] = dict(target.secrets)
    current = journal.current_release(target.name)
    row = journal.release(current) if current is not None else None
    if row is not None:
        references |= {f"{name} of {current}": record.reference for name, record in row.release.secrets.items()}
    values, refused = await resolve_each(references, base=base, deadline=RESOLVING)
    masker = Masker(values)
    text = masker.mask(shlex.join(command))
    if refused is not None and len(command) > 1:
        text = f"{masker.mask(shlex.quote(command[0]))} … ({len(command) - 1} words are not kept: a secret can't be read to mask it)"
    text = clean(text).replace("\n", " ")
    return Words(text if len(text) <= WORDS_KEPT else f"{text[:WORDS_KEPT]} …", masker)


async def run_on(
    backend: HostBackend,
    journal: Journal,
    target: Target,
    place: Place,
    command: Sequence[str],
    words: Words,
    *,
    deadline: float | None,
    input: Typed | None = None,
    terminal: Terminal | None = None,
) -> AsyncGenerator[Printed | Exited, None]:
    """What ``Connection.exec_in`` gives, with an event before it begins and one when it has ended, however that was. Raises what it
    raises, and JournalError: what can't be written down is not done."""
    started = time.monotonic()
    host = place.host
    if place.failure is not None:
        raise place.failure
    where = {"task": place.task} if place.task else {}
    ended: dict[str, object] = {"error": "its reader left"}
    connection = await backend.connect(host, deadline=CONNECT)
    try:
        body = {"command": words.kept, **where} | ({"terminal": True} if terminal is not None else {})
        journal.record("exec", target=target.name, host=host.name, body=body)
        try:
            going = connection.exec_in(
                target.name,
                target.path,
                command,
                deadline=deadline,
                input=input,
                terminal=terminal,
                task=place.task,
            )
            async with aclosing(going) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Exited):
                        ended = {"exit_status": piece.status}
                    yield piece
        except BackendError as error:
            ended = {"error": error.told(words.masker.mask)}
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            outcome = {"command": words.kept, **where, **ended, "seconds": seconds}
            journal.record("exec.ended", target=target.name, host=host.name, body=outcome)
    finally:
        await leave(connection)


class Lines:
    """Pieces of output as whole lines, cleaned and masked. One a stream."""

    LONGEST = 64 * 1024

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._rest = b""

    def take(self, data: bytes) -> list[str]:
        """The lines that are whole by now."""
        whole, broken, self._rest = (self._rest + data).rpartition(b"\n")
        found = self._clean(whole) if broken else []
        if len(self._rest) > self.LONGEST:
            found += self.end()
        return found

    def end(self) -> list[str]:
        """What is left, when nothing more comes."""
        rest, self._rest = self._rest, b""
        return self._clean(rest) if rest else []

    def _clean(self, data: bytes) -> list[str]:
        text = self._masker.mask(data.decode("utf-8", "replace"))
        return self._masker.mask(clean(text)).split("\n")  # a sequence inside a value must not hide it
