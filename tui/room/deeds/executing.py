"""A command where the chosen target's release runs: asked for over the footer, shown in a card."""

from quarterdeck.config.model import Target
from quarterdeck.rollouts.refusals import Refused, UnknownPart
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words

ALL = "all"


async def _exec(room: Room, words: Words) -> None:
    """``x`` asks where (of several hosts, or of a swarm) and what; ``:exec TARGET COMMAND`` runs on all of its hosts, and in all tasks of a
    swarm."""
    target = room.target_in(words)
    declared = room.fleet.targets.get(target or "")
    if declared is None:
        raise Refused("no target is chosen", "choose one in the matrix")
    hosts = tuple(host.name for host in declared.hosts)
    name = declared.name
    if len(words) > 1:
        _run(room, name, hosts, " ".join(words[1:]), every=True)
        return
    if len(hosts) == 1 and not declared.hosts[0].swarm:
        _ask(room, name, hosts)
    else:
        _ask_where(room, declared, hosts[0])


def _ask_where(room: Room, target: Target, text: str) -> None:
    name, hosts = target.name, tuple(host.name for host in target.hosts)
    swarm = next((host.name for host in target.hosts if host.swarm), "")

    def chosen(text: str) -> None:
        host = text.strip()
        if host == ALL or host in hosts:
            _ask(room, name, hosts if host == ALL else (host,), every=host == ALL and bool(swarm))
            return
        said = f"{name} has no host {host!r}; its hosts: {', '.join(hosts)}, or {ALL}"
        if swarm:
            from quarterdeck.rollouts.executing import place_named

            try:
                _ask(room, name, (place_named(target, host).name,))
                return
            except UnknownPart as error:
                said = str(error)
        room.say(f"exec: {said}")
        _ask_where(room, target, host)  # asked again: what is typed now are no keys

    def completions(text: str) -> list[str]:
        return [host for host in (*hosts, ALL) if host.startswith(text)]

    tasks = f" ({swarm}:2, {swarm}@NODE: a task of it)" if swarm else ""
    hint = f"a host of {name}{tasks}, or {ALL}{' for every task' if swarm else ''}; Tab completes"
    room.prompt("on host: ", text, on_done=chosen, complete=completions, hint=lambda _: hint)


def _ask(room: Room, target: str, hosts: tuple[str, ...], *, every: bool = False) -> None:
    where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
    if every:
        where = f"all tasks of {where}" if len(hosts) == 1 else f"{where}, all tasks"
    hint = "a line for the shell there; enter runs it, esc does not"
    room.prompt(
        f"{target} on {where} $ ",
        on_done=lambda line: _run(room, target, hosts, line, every=every),
        hint=lambda text: "" if text else hint,
    )


def _run(room: Room, target: str, hosts: tuple[str, ...], line: str, *, every: bool) -> None:
    if not line.strip():
        return
    from quarterdeck.rollouts.exec_process import Order
    from quarterdeck.tui.room.cards.executing import ExecCard

    order = Order(room.fleet.file, target, hosts, ("sh", "-c", line), every)
    room.push_screen(ExecCard(order, line))


HANDLERS: dict[str, Handler] = {"exec": _exec}
