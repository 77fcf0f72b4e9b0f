"""What a target's hosts remember, kept by the Swarm itself: the labels of a config that nothing uses, changed by compare-and-set. Every
object of a Swarm has a version, and its managers refuse a change that begins with another one than the newest.

The same holds for services: who has read a service and was overtaken since is refused by Swarm itself. A newer worker marks the service
with its epoch before its first change, except in the middle of an update, where a mark would set the update going: there its first
change is the mark. Creating is safe by the name, which Swarm gives once; a removal is announced by a label first."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused, Fenced
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.names import NONCE, STATE, TARGET
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.register import State, from_label, to_label
from quarterdeck.backends.hosts.swarm import calls, names
from quarterdeck.backends.hosts.swarm.calls import Body

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.swarm.managers import Managers

_TRIES: Final = 50  # races lost in a row
_NOTE: Final = base64.b64encode(b"What Quarterdeck knows of this target is in this config's labels.\n").decode()


@dataclass(frozen=True, slots=True)
class Reading:
    """The register at one look. ``id`` is empty where it is not there: never written, or removed."""

    state: State = field(default_factory=State)
    id: str = ""
    version: int = 0
    is_readable: bool = True  # False: what stands there is no state, so nobody knows which epoch was there

    @property
    def is_there(self) -> bool:
        return bool(self.id)


class Register:
    """The register of one target. Holds nothing between two calls."""

    def __init__(self, managers: "Managers", target: str) -> None:
        self._managers = managers
        self._target = target
        self._name = names.register(target)

    async def look(self, action: str, *, deadline: float) -> Reading:
        found: list[Body] = await self._managers.ask(action, self._list, deadline=deadline)
        return next((one for body in found if (one := self.reading(body)) is not None), Reading())

    def _list(self, client: "docker.APIClient") -> Any:
        return calls.get(client, "/configs", name=[self._name])

    def reading(self, body: Body) -> Reading | None:
        """What a config of the Swarm is of the register; None: it is another one."""
        spec: Body = body.get("Spec") or {}
        if spec.get("Name") != self._name:  # the filter takes names that only begin so
            return None
        state = from_label((spec.get("Labels") or {}).get(STATE, ""))
        version = int((body.get("Version") or {}).get("Index") or 0)
        return Reading(state or State(), str(body["ID"]), version, state is not None)

    async def write(
        self,
        fence: Fence,
        action: str,
        change: Callable[[State], State],
        *,
        deadline: float,
        floor: int = 0,
        reading: Reading | None = None,
    ) -> Reading:
        """Sets the state to what ``change`` makes of it; ``change`` is asked again for each state that comes in between. ``floor``: an
        epoch seen elsewhere. Raises ``Fenced``."""
        for _ in range(_TRIES):
            reading = reading or await self.look(action, deadline=deadline)
            self.judge(fence, reading, action, floor=floor)
            state = reading.state
            wanted = replace(change(state), epoch=fence.epoch, holder=fence.holder, anchor=fence.anchor)
            if reading.is_there and wanted == state:
                return reading
            written = await self._write(wanted, reading, action, deadline)
            if written is not None:
                return written
            reading = None  # somebody was quicker
        raise BackendError(
            self._managers.host,
            action,
            f"others have written the record of {self._target} {_TRIES} times meanwhile",
            advice="look who else is at work there",
        )

    async def _write(self, wanted: State, before: Reading, action: str, deadline: float) -> Reading | None:
        nonce = secrets.token_hex(8)
        labels = {TARGET: self._target, NONCE: nonce, STATE: to_label(wanted), names.REGISTER: "yes"}
        spec = {"Name": self._name, "Labels": labels}  # its text never changes

        def set_it(client: "docker.APIClient") -> Reading:
            if before.is_there:
                calls.post(client, f"/configs/{before.id}/update", spec, version=before.version)
            else:
                calls.post(client, "/configs/create", {**spec, "Data": _NOTE})
            return is_set(client) or Reading()

        def is_set(client: "docker.APIClient") -> Reading | None:
            for body in self._list(client):
                found = self.reading(body)
                if found is not None and body["Spec"]["Labels"].get(NONCE) == nonce:
                    return found
            return None

        try:
            written = await self._managers.change(action, set_it, is_set, deadline=deadline)
        except EngineRefused as error:
            if calls.has_moved(error) or error.status in (404, 409):
                return None
            raise
        return written if written.is_there else None

    def judge(self, fence: Fence, reading: Reading, action: str, *, floor: int = 0) -> None:
        """Raises ``Fenced`` where ``fence`` may not act on what was read, and ``CommandFailed`` where that can't be told."""
        if not reading.is_readable:
            raise CommandFailed(
                self._managers.host,
                action,
                f"what the swarm's config {self._name} says of {self._target} can't be read",
                exit_status=None,
                left=UNCHANGED,
                advice=f"a newer qd may have written it: use that one; see docker config inspect {self._name}",
            )
        state = reading.state
        seen = max(state.epoch, floor)
        if fence.epoch < seen:
            raise Fenced(self._managers.host, action, epoch=fence.epoch, seen=seen, holder=state.holder)
