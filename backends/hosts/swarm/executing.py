"""A command of an operator's in one of a target's tasks, by way of the engine of the node that has it."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.contract import Exited, Printed, Terminal, Typed
from quarterdeck.backends.hosts.docker.exec_session import NOTHING_BEGUN, judge_input, session_in
from quarterdeck.backends.hosts.swarm.looking import Node, Task, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

_ASKING: Final = 20.0  # seconds for each question that is asked before it


async def exec_in_task(
    managers: Managers,
    nodes: Nodes,
    target: str,
    command: Sequence[str],
    *,
    deadline: float | None,
    input: Typed | None,
    terminal: Terminal | None,
    task: str = "",
) -> AsyncGenerator[Printed | Exited, None]:
    """``task``: which one, ``SLOT`` or ``@NODE``; empty: one that is reached, rather on the manager that is asked. Raises as
    ``Connection.exec_in`` does."""
    begun = time.monotonic()
    action = f"run a command in {target}"
    candidates = await _candidates(managers, nodes, target, action, task)
    engine, container = await _reached(managers, nodes, candidates, action)
    judge_input(engine, action, input)
    going = session_in(
        engine, container, action, command, begun=begun, deadline=deadline, input=input, terminal=terminal
    )
    async with aclosing(going) as pieces:
        async for piece in pieces:
            yield piece


async def _candidates(
    managers: Managers, nodes: Nodes, target: str, action: str, wanted: str
) -> list[tuple[Task, Node]]:
    """Tasks that run, of what is current before others, in the order in which they are tried."""
    seen = await look(managers, target, action, deadline=_ASKING)
    listed = {one.id: one for one in await nodes.all(action, deadline=_ASKING, fresh=True)}
    running = [one for one in seen.tasks if one.runs and one.is_wanted and one.container and one.node in listed]
    current = [one for one in running if one.release == seen.current]
    found = [(one, listed[one.node]) for one in current or running]
    if not found:
        raise CommandFailed(
            managers.host,
            action,
            "no container of it runs there",
            exit_status=None,
            left=NOTHING_BEGUN,
            advice=f"deploy a release, or see why it stopped: qd logs {target}",
        )
    chosen = [one for one in found if _is_meant(wanted, *one)]
    if not chosen:
        raise CommandFailed(
            managers.host,
            action,
            f"no task {wanted if wanted.startswith('@') else f'in slot {wanted}'} of it runs",
            exit_status=None,
            left=NOTHING_BEGUN,
            advice=f"those that run: {', '.join(_named(task, node) for task, node in found)}",
        )
    return sorted(chosen, key=lambda one: (one[1].id != managers.node, not one[1].is_ready, one[0].slot))


def _is_meant(wanted: str, task: Task, node: Node) -> bool:
    if wanted.startswith("@"):
        return node.hostname == wanted[1:]
    return not wanted or str(task.slot) == wanted


def _named(task: Task, node: Node) -> str:
    return f"{task.slot}@{node.hostname}" if task.slot else f"@{node.hostname}"


async def _reached(
    managers: Managers, nodes: Nodes, candidates: Sequence[tuple[Task, Node]], action: str
) -> "tuple[Engine, str]":
    """The first one whose node's engine is reached, and has it. Raises what hindered the first one."""
    failure: BackendError | None = None
    for task, node in candidates:
        try:
            engine = await nodes.engine_of(node, action)
            try:
                await engine.call(action, partial(_inspected, task.container), deadline=_ASKING)
            except BackendError:
                if node.id != managers.node:
                    await nodes.let_go(node)  # it is opened anew for the next one
                raise
        except BackendError as error:
            failure = failure or error
        else:
            return engine, task.container
    assert failure is not None
    raise failure


def _inspected(container: str, client: "docker.APIClient") -> None:
    """Raises where it is not there: the managers learn late that a task has ended."""
    client.inspect_container(container)
