"""Why an update did not come to its end, in words for an error: a task that failed, what runs now, managers that are lost."""

import contextlib

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Node, Service, Task
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.task_lines import has_terminal
from quarterdeck.backends.hosts.swarm.task_logs import last_words
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release


def while_lost(managers: str) -> str:
    """For an error about tasks that do not come forward, ``Nodes.lost_managers`` meanwhile."""
    return f", while of its managers {managers} did not answer" if managers else ""


def advice_where_lost(managers: str) -> str:
    return (
        "a manager that hangs holds up what other nodes report, as long as its process lives: restart the engine of "
        f"{managers}, and try again"
        if managers
        else ""
    )


async def failure(gate: SwarmGate, nodes: Nodes, service: Service, release: Release, task: Task) -> CommandFailed:
    """In its own last words."""
    node: Node | None = None
    output = ""
    with contextlib.suppress(BackendError):
        node = await nodes.find(task.node, gate.words, deadline=min(gate.left, 5.0)) if task.node else None
        output = await last_words(gate.managers, nodes, task, gate.words, tty=has_terminal(service))
    where = f" on {node.hostname}" if node is not None else ""
    last = f": {output.splitlines()[-1]}" if output else ""
    if task.exit_status is None or task.state == "rejected":
        login = f"; no login to its registry: {gate.no_login}" if gate.no_login else ""
        said = clean(task.said) or "its node does not say why"
        problem = f"a task of {release.id}{where} was {task.state}: {said}{last}{login}"
    else:
        problem = f"a task of {release.id}{where} ended with status {task.exit_status}{last}"
        if "unhealthy" in task.said:
            problem = f"a task of {release.id}{where} was found unhealthy by its own check{last}"
    return CommandFailed(
        gate.host,
        gate.words,
        problem,
        # What a node refuses says nothing of the release: it may lack a login, or a directory.
        exit_status=None if task.state == "rejected" else 1 if task.exit_status is None else task.exit_status,
        output=output,
        left=await what_runs(gate),
        advice=f"see: docker service ps --no-trunc {service.name}",
    )


async def what_runs(gate: SwarmGate) -> str:
    """A sentence for an error."""
    try:
        seen = await gate.look()
    except BackendError:
        return ""
    told = [f"{len(seen.running(one))} of {one}" for one in seen.releases_running]
    return f"Tasks that run now: {', '.join(told)}" if told else "Nothing of it runs there now"
