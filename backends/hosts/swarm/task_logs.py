"""The end of what a task has printed, for a message or a hook's answer."""

import asyncio
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.docker.logs import Lines
from quarterdeck.backends.hosts.swarm.task_lines import TaskReader

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.swarm.looking import Task
    from quarterdeck.backends.hosts.swarm.managers import Managers
    from quarterdeck.backends.hosts.swarm.nodes import Nodes

_TAIL: Final = 20  # lines that are shown
_ASKING: Final = 5.0  # seconds: a node that is lost tells nothing
_AGAIN: Final = 0.5  # seconds


async def last_words(
    managers: "Managers",
    nodes: "Nodes",
    task: "Task",
    action: str,
    *,
    tty: bool = False,
    lines: int = _TAIL,
    deadline: float = _ASKING,
) -> str:
    """The end of a task's log, cleaned; both outputs in the order in which they came. ``tty``: it has a terminal.

    A leader does not find the log of a node that was away for a moment until that has connected anew, also where its tasks run there
    already: it is asked again for ``deadline`` seconds, unless the node itself can be asked. Raises ``BackendError``."""
    now = asyncio.get_running_loop().time
    until = now() + deadline
    while True:
        try:
            found, _ = await TaskReader(managers, nodes, action).read(
                task, Lines(lines, ""), tty, lines, max(1.0, until - now())
            )
        except BackendError:
            if now() + _AGAIN > until:
                raise
            await asyncio.sleep(_AGAIN)
        else:
            return "\n".join(text for _, text in found).strip()
