"""A target's tasks and the nodes of a Swarm as lines of `qd status`: one each, with a mark and a word. Pure."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.rollouts.picture.swarm import NodeSeen, State, TaskSeen, standing_of

STYLES = {State.GOOD: "ok", State.GOING: "moving", State.ODD: "warn", State.BAD: "bad", State.UNKNOWN: "warn"}


def swarm_remarks(target: Mapping[str, Any], host: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of a host that is a Swarm, as ``qd status --json`` has it: text and style of each line."""
    nodes = {
        one["node"]: NodeSeen(
            one["node"], one["state"], one["availability"], one["role"] != "worker", one["role"] == "leader"
        )
        for one in host["swarm"]["nodes"]
    }
    expected = {target["release"]}
    if target["rollout"]:
        expected |= {target["rollout"]["from"], target["rollout"]["to"]}
    found = []
    for one in host["swarm"]["tasks"]:
        task = TaskSeen(
            one["id"],
            one["slot"] or 0,
            one["node"] or "",
            one["release"],
            one["state"],
            one["said"] or "",
            one["wanted"],
        )
        state, why = standing_of(task, nodes.get(task.node), expected)
        where = f" on {task.node}" if task.node else ""
        said = f": {why}" if why else ""
        found.append((f"  {state} task {task.slot or '-'}{where}: {task.version}, {task.state}{said}", STYLES[state]))
    for one in host["swarm"]["nodes"]:
        node = nodes[one["node"]]
        tasks = f"{one['tasks']} task{'' if one['tasks'] == 1 else 's'} of {target['target']}"
        words = f"{node.state}, {node.availability}, {node.role}, {tasks}"
        found.append((f"  {node.standing} node {node.hostname}: {words}", STYLES[node.standing]))
    return found
