"""A target on a Swarm as rows: its tasks and the nodes like hosts, a row each, and the short of both for cards. Pure."""

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.swarm import NodeSeen, State, SwarmSeen, TaskSeen, on_nodes, standing_of
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad, row

if TYPE_CHECKING:
    from quarterdeck.rollouts.closely import Closely

ROLES: Final = {
    State.GOOD: Role.OK,
    State.GOING: Role.MOVING,
    State.ODD: Role.DRIFT,
    State.BAD: Role.BAD,
    State.UNKNOWN: Role.STALE,
}
NODE: Final = 14  # columns of a node's name
VERSION: Final = 12
STATE: Final = 9
WIDE: Final = 70  # columns from which a version, a node's role and its tasks have all the room they want


def expected_of(seen: TargetSeen) -> Container[str | None]:
    """The releases that may run: while a rollout moves the target, where it comes from and where it leads."""
    if seen.moving is None:
        return (seen.release,)
    return (seen.release, seen.moving.rollout.from_release, seen.moving.rollout.to_release)


def task_rows(seen: TargetSeen, width: int) -> list[Row]:
    """A head and a row for each task, of every Swarm of the target. Nothing where it runs on none."""
    expected = expected_of(seen)
    rows: list[Row] = []
    for host in _swarms(seen):
        swarm = host.swarm
        if swarm is None:
            continue
        running = _running(seen, swarm)
        words = f"{running}/{swarm.wanted} run{_well(seen, swarm, running)}"
        short = running < swarm.wanted or words.endswith(" well")
        rows.append(_head(f"TASK ON {host.host}", host, words, short=short))
        nodes = {one.hostname: one for one in swarm.nodes}
        rows += [_task(one, nodes.get(one.node), expected, width, host.error is not None) for one in swarm.tasks]
        if not swarm.tasks:
            rows.append(row(Span("   no task runs, and none is to run", Role.DIM)))
    return rows


def _running(seen: TargetSeen, swarm: SwarmSeen) -> int:
    return swarm.running(seen.release, seen.moving.rollout.to_release if seen.moving is not None else None)


def _well(seen: TargetSeen, swarm: SwarmSeen, running: int) -> str:
    """How many of those that run are well, where not all of them are. While a rollout moves them its worker checks them."""
    return f", {swarm.well} well" if seen.moving is None and swarm.well is not None and swarm.well < running else ""


def _head(title: str, host: HostSeen, words: str, *, short: bool) -> Row:
    """What is known of a Swarm that can't be asked is of before."""
    lost = "  as last seen" if host.error is not None else ""
    return row(
        Span(f" {title}  ", Role.DIM), Span(words + lost, Role.STALE if lost else Role.WARN if short else Role.DIM)
    )


def _task(task: TaskSeen, node: NodeSeen | None, expected: Container[str | None], width: int, lost: bool) -> Row:
    """``= 1   node-2         v1.9.0       running``."""
    state, why = standing_of(task, node, expected)
    if lost:
        state = State.UNKNOWN
    version = VERSION if width >= WIDE else 8
    head = f" {state} {task.slot or '-':<3} {pad(task.node or '-', NODE)} {pad(task.version, version)} "
    room = max(width - len(head), 0)
    said = f"{pad(task.state, STATE)} {why}".rstrip()
    return row(
        Span(head, ROLES[state]), Span(ellipsis(said, room), Role.PLAIN if state is State.GOOD else ROLES[state])
    )


def node_rows(seen: TargetSeen, picture: Picture, width: int) -> list[Row]:
    """A head and a row for each node, with how many tasks of the fleet's targets run there."""
    rows: list[Row] = []
    for host in _swarms(seen):
        if host.swarm is None:
            continue
        ready = sum(one.standing is State.GOOD for one in host.swarm.nodes)
        tasks = fleet_tasks(picture, host.host)
        mine = on_nodes([host.swarm])
        words = f"{ready}/{len(host.swarm.nodes)} ready" + ("  as last seen" if host.error is not None else "")
        rows.append(row(Span(f" NODE OF {host.host}  ", Role.DIM), Span(words, Role.DIM)))
        rows += [_node(one, tasks, mine, seen.service, width, host.error is not None) for one in host.swarm.nodes]
    return rows


def _node(
    node: NodeSeen, tasks: Mapping[str, int], mine: Mapping[str, int], service: str, width: int, lost: bool
) -> Row:
    """``= node-1         ready active  leader   4 tasks, 2 of web``."""
    state = State.UNKNOWN if lost else node.standing
    head = f" {state} {pad(node.hostname, NODE)} "
    count, own = tasks.get(node.hostname, 0), mine.get(node.hostname, 0)
    words = f"{pad(node.state, STATE)} {pad(node.availability, 7)} {pad(node.role, 8)}"
    words += f"{count} task{'' if count == 1 else 's'}, {own} of {service}"
    said = ellipsis(words, max(width - len(head), 0))
    return row(Span(head, ROLES[state]), Span(said, Role.PLAIN if state is State.GOOD else ROLES[state]))


def fleet_tasks(picture: Picture, name: str) -> Mapping[str, int]:
    """By a node's hostname, how many tasks of all targets run there, of the Swarm ``name``."""
    return on_nodes(
        host.swarm
        for seen in picture.targets.values()
        if seen.on_swarm
        for host in seen.hosts
        if host.host == name and host.swarm is not None
    )


def _swarms(seen: TargetSeen) -> Iterable[HostSeen]:
    return (host for host in seen.hosts if host.swarm is not None) if seen.on_swarm else ()


# the short of it


def tasks_in_short(seen: TargetSeen) -> tuple[str, Role] | None:
    """``5/6 run: node-1 2, node-2 3; 4 pending: no suitable node``; None of a target on no Swarm."""
    if not seen.on_swarm:
        return None
    parts, worst = [], Role.PLAIN
    several = len(seen.hosts) > 1
    expected = expected_of(seen)
    for host in _swarms(seen):
        swarm = host.swarm
        if swarm is None:
            continue
        running = _running(seen, swarm)
        spread = ", ".join(f"{node} {count}" for node, count in sorted(on_nodes([swarm]).items()))
        well = _well(seen, swarm, running)
        words = (
            f"{f'{host.host} ' if several else ''}{running}/{swarm.wanted} run{well}{f': {spread}' if spread else ''}"
        )
        for task in swarm.tasks:
            state, why = standing_of(task, swarm.node(task.node), expected)
            if state is State.GOOD or not task.wanted:
                continue
            words += f"; {task.slot or task.node} {task.state}{f': {why}' if why else ''}"
            worst = Role.BAD if state is State.BAD or worst is Role.BAD else Role.WARN
        if (running < swarm.wanted or well) and worst is Role.PLAIN:
            worst = Role.MOVING if seen.moving is not None else Role.WARN
        if host.error is not None:
            words, worst = f"{words} (as last seen)", Role.STALE
        parts.append(words)
    return "; ".join(parts), worst


def nodes_in_short(seen: TargetSeen) -> tuple[str, Role] | None:
    """``3/4 ready: node-4 down; leader node-1``; None of a target on no Swarm."""
    if not seen.on_swarm:
        return None
    parts, role = [], Role.DIM
    for host in _swarms(seen):
        nodes = host.swarm.nodes if host.swarm is not None else ()
        odd = [
            f"{one.hostname} {one.state if one.state != 'ready' else one.availability}"
            for one in nodes
            if one.standing is not State.GOOD
        ]
        leader = next((one.hostname for one in nodes if one.leader), "")
        words = f"{len(nodes) - len(odd)}/{len(nodes)} ready{': ' if odd else ''}{', '.join(odd)}"
        parts.append(words + (f"; leader {leader}" if leader else "; no leader"))
        role = Role.WARN if odd or not leader else role
    return "; ".join(parts), role


class Update(NamedTuple):
    """A Swarm's way to a release, which is one step of a rollout. ``words``: ``3 of 6 tasks of v2 run``, and why one does not."""

    done: int
    total: int
    words: str


def updates(seen: TargetSeen | None, release: str | None, version: str | None) -> Mapping[str, Update]:
    """By host, those of the target's Swarms to ``release``."""
    if seen is None or release is None:
        return {}
    return {host.host: update_of(host.swarm, release, version) for host in _swarms(seen) if host.swarm is not None}


def updates_now(picture: Picture, seen: "Closely") -> Mapping[str, Update]:
    """Those of a rollout, by host; of one that has ended there are none."""
    if seen.ended:
        return {}
    return updates(picture.targets.get(seen.rollout.target), seen.rollout.to_release, seen.to_version)


def update_of(swarm: SwarmSeen, release: str | None, version: str | None) -> Update:
    done, total = swarm.progress(release)
    words = f"{done} of {total} tasks of {version or '?'} run"
    waits = swarm.waiting(release)
    if waits is not None and waits.said:
        words += f"; one is {waits.state}: {waits.said}"
    return Update(done, total, words)
