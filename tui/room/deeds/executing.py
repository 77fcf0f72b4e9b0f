"""A command where the chosen target's release runs: asked for over the footer, shown in a card."""

from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words

ALL = "all"


async def _exec(room: Room, words: Words) -> None:
    """``x`` asks where (of several hosts) and what; ``:exec TARGET COMMAND`` runs on all of its hosts."""
    target = room.target_in(words)
    declared = room.fleet.targets.get(target or "")
    if declared is None:
        raise Refused("no target is chosen", "choose one in the matrix")
    hosts = tuple(host.name for host in declared.hosts)
    name = declared.name
    if len(words) > 1:
        _run(room, name, hosts, " ".join(words[1:]))
        return
    if len(hosts) == 1:
        _ask(room, name, hosts)
    else:
        _ask_where(room, name, hosts, hosts[0])


def _ask_where(room: Room, name: str, hosts: tuple[str, ...], text: str) -> None:
    def chosen(text: str) -> None:
        host = text.strip()
        if host == ALL or host in hosts:
            _ask(room, name, hosts if host == ALL else (host,))
            return
        room.say(f"exec: {name} has no host {host!r}; its hosts: {', '.join(hosts)}, or {ALL}")
        _ask_where(room, name, hosts, host)  # asked again: what is typed now are no keys

    def completions(text: str) -> list[str]:
        return [host for host in (*hosts, ALL) if host.startswith(text)]

    hint = f"a host of {name}, or {ALL}; Tab completes"
    room.prompt("on host: ", text, on_done=chosen, complete=completions, hint=lambda _: hint)


def _ask(room: Room, target: str, hosts: tuple[str, ...]) -> None:
    where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
    hint = "a line for the shell there; enter runs it, esc does not"
    room.prompt(
        f"{target} on {where} $ ",
        on_done=lambda line: _run(room, target, hosts, line),
        hint=lambda text: "" if text else hint,
    )


def _run(room: Room, target: str, hosts: tuple[str, ...], line: str) -> None:
    if not line.strip():
        return
    from quarterdeck.rollouts.exec_process import Order
    from quarterdeck.tui.room.cards.executing import ExecCard

    order = Order(room.fleet.file, target, hosts, ("sh", "-c", line))
    room.push_screen(ExecCard(order, line))


HANDLERS: dict[str, Handler] = {"exec": _exec}
