"""What tasks have printed, as the managers tell it: they fetch it from the nodes."""

from typing import TYPE_CHECKING, Final

from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.looking import Task
from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.swarm.managers import Managers

_HEAD: Final = 8  # bytes before each piece: which of the two outputs, three zeros, the piece's length
_TAIL: Final = 20  # lines of a log that are shown
_ASKING: Final = 5.0  # seconds: a node that is lost tells nothing


async def last_words(
    managers: "Managers", task: Task, action: str, *, lines: int = _TAIL, deadline: float = _ASKING
) -> str:
    """The end of a task's log, cleaned. Raises as ``Managers.ask`` does."""

    def read(client: "docker.APIClient") -> bytes:
        return calls.get_bytes(client, f"/tasks/{task.id}/logs", stdout="1", stderr="1", tail=str(lines))

    raw = await managers.ask(action, read, deadline=deadline)
    return clean(unframed(raw).decode("utf-8", "replace")).strip()


def unframed(raw: bytes) -> bytes:
    """Both outputs in the order in which they came; of a task with a terminal there is one, without frames."""
    found = bytearray()
    at = 0
    while at + _HEAD <= len(raw):
        if raw[at] > 2 or raw[at + 1 : at + 4] != b"\0\0\0":
            return raw
        end = at + _HEAD + int.from_bytes(raw[at + 4 : at + _HEAD])
        found += raw[at + _HEAD : end]
        at = end
    return bytes(found) if at else raw
