"""Runs one command of the fleet file in a task of its own, with the release's image, environment, networks, configs and secrets, which is
removed afterwards. Nobody is led to it.

It is a service of one task that is never started again, and no job of the Swarm: engines before 25 keep the tasks of a job for ever when
its service is removed (seen with 20.10)."""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut
from quarterdeck.backends.hosts.docker.making import spec_of
from quarterdeck.backends.hosts.docker.names import EPOCH, HOOK, RELEASE, ROLE, TARGET
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.swarm import calls, names
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, Task, list_tasks
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.task_logs import last_words
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    import docker

_SETTLING: Final = 30.0  # seconds
_PLACING: Final = 120.0  # seconds for a node to be found, and to fetch the image
_READING: Final = 15.0  # seconds for what it has printed
_PAUSE: Final = 0.1
_TAIL: Final = 2000  # lines
_TAKEN_AWAY: Final = ("shutdown", "orphaned")  # states of one that has not ended by itself


async def run_hook(
    gate: SwarmGate,
    nodes: Nodes,
    seen: Seen,
    release: Release,
    command: str,
    timeout: float,
    extra_env: Mapping[str, str],
) -> dict[str, Any]:
    """``exit`` and ``output``. Raises ``CommandTimedOut``, and ``CommandFailed`` where it can't be run."""
    spec_of(gate.host, gate.words, release)
    holder = seen.kept(release) or next((one for one in seen.services if one.release == release.id), None)
    if holder is None:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"release {release.id} is not on the host",
            exit_status=None,
            left=UNCHANGED,
            advice="try again: what a swarm lacks is put there before a hook runs",
        )
    env = dict(one.partition("=")[::2] for one in holder.container.get("Env") or ())
    gate.hide(env[name] for name in release.secrets if name in env)
    if holder.container.get("Secrets"):  # whose values no manager tells
        gate.keep_no_words()
    job = _job(gate, holder, release, command, {**env, **extra_env})
    try:
        made = await gate.create_service(job, release)
        task = await _ended(gate, nodes, made, timeout)
        output = await _output(gate, nodes, task)
        if task.exit_status is None or task.state in _TAKEN_AWAY:
            why = clean(task.said)
            if task.state in _TAKEN_AWAY:
                why = "its node was drained, or lost, before the command had ended"
            raise CommandFailed(
                gate.host, gate.words, f"its task was {task.state}: {why}", exit_status=None, output=output
            )
        return {"exit": task.exit_status, "output": output}
    finally:
        await asyncio.shield(_removed(gate, str(job["Name"])))


def _job(gate: SwarmGate, holder: Service, release: Release, command: str, env: Mapping[str, str]) -> dict[str, Any]:
    template = dict(holder.template)
    container = {
        **holder.container,
        "Command": ["/bin/sh", "-c"],
        "Args": [command],
        "Env": [f"{name}={value}" for name, value in sorted(env.items())],
        "Labels": {TARGET: release.target, ROLE: HOOK, RELEASE: release.id},
        "Healthcheck": {"Test": ["NONE"]},
        "TTY": False,
        "OpenStdin": False,
        "Hostname": "",
    }
    networks = [{**one, "Aliases": []} for one in template.get("Networks") or ()]
    template.update(ContainerSpec=container, RestartPolicy={"Condition": "none"}, Networks=networks, ForceUpdate=0)
    template["Placement"] = {key: one for key, one in (template.get("Placement") or {}).items() if key != "MaxReplicas"}
    return {
        "Name": names.hook(names.live_name(release), secrets.token_hex(4)),
        "Labels": {TARGET: release.target, ROLE: HOOK, RELEASE: release.id, EPOCH: str(gate.fence.epoch)},
        "TaskTemplate": template,
        "Mode": {"Replicated": {"Replicas": 1}},
    }


async def _ended(gate: SwarmGate, nodes: Nodes, made: Service, timeout: float) -> Task:
    """``timeout`` begins with the command: until then it waits for a node."""
    now = asyncio.get_running_loop().time
    until, running = now() + _PLACING, False
    while True:
        tasks = await list_tasks(gate.managers, gate.words, [made.id], deadline=max(10.0, until - now()))
        ended = next((one for one in tasks if one.has_failed or one.state in _TAKEN_AWAY), None)
        if ended is not None:
            return ended
        runs = next((one for one in tasks if one.runs), None)
        if runs is not None and not running:
            until, running = now() + timeout, True
        if now() > until:
            if runs is not None:
                raise CommandTimedOut(
                    gate.host,
                    gate.words,
                    f"the command was ended after {timeout:g} s",
                    exit_status=124,
                    output=await _output(gate, nodes, runs),
                )
            why = "; ".join(sorted({clean(one.said) or one.state for one in tasks}))
            raise CommandFailed(gate.host, gate.words, f"no node has begun it: {why}", exit_status=None)
        await asyncio.sleep(_PAUSE)


async def _output(gate: SwarmGate, nodes: Nodes, task: Task) -> str:
    try:
        return (await last_words(gate.managers, nodes, task, gate.words, lines=_TAIL, deadline=_READING))[-65536:]
    except BackendError as error:
        return f"(its output can't be read: {error.problem})"


async def _removed(gate: SwarmGate, name: str) -> None:
    """Its own one, also where a newer worker has taken over, or where it is created in this very moment."""

    def delete(client: "docker.APIClient") -> None:
        calls.delete(client, f"/services/{name}")

    with contextlib.suppress(BackendError):  # ``finish`` removes what is left
        await gate.managers.settled(_SETTLING)
        await gate.managers.ask(gate.words, delete, deadline=_SETTLING)
