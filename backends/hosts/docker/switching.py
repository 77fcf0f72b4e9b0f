"""Puts one release's container in the place of another's, and says what is there afterwards. Every path begins with what it finds:
one that was cut short anywhere is finished, or taken back, by the next switch.

A container is called by its id. The live name is taken by renaming, which the engine gives to one only."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker import making, names, overtaken, ports, secret_files
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Body, Container, Seen, together
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.register import State
from quarterdeck.backends.hosts.docker.spec import can_run_beside, endpoint, restart_policy
from quarterdeck.backends.hosts.manifest import manifest
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.release import Release

Outcome = dict[str, Any]
WATCHED: Final = 1.0  # seconds that a container without any check must run before it counts as started
_LED_BY_NOW: Final = (
    0.5  # seconds in which whoever was told the old one's address by the network's resolver has connected to it
)
_TRIES: Final = 3  # in which nobody comes in between, with one older worker that wakes once
_TAIL: Final = 20  # lines of a log that are shown
_STUCK: Final = (
    "task ",
    "already exists",
)  # of an engine that was killed as it started it: containerd has what the engine has not
_LOOK_WHAT_IS_GONE: Final = "look which networks were removed, or made anew, and by whom: docker network ls"
IN_USE: Final = ("address already in use", "port is already allocated", "ports are not available")


async def switch(
    gate: Gate,
    seen: Seen,
    around: making.Around,
    release: Release,
    values: Mapping[str, str],
    action: str,
    op_id: str,
    *,
    served: bool = False,
) -> Outcome:
    """``around`` was asked beside ``seen``. A port of a range that somebody has taken since it was chosen gives way to another one, and a
    container that its engine can't start any more to one that is made anew."""
    spec = making.spec_of(gate.host, gate.words, release)
    if action == "stop":
        return await _stop(gate, seen)
    refused: set[str] = set()
    stuck: set[str] = set()
    while True:
        try:
            return await _switch(gate, seen, around, release, values, action, op_id, refused | stuck, served=served)
        except CommandFailed as error:
            if stuck or refused:  # the first try has stopped what ran, where the two can't run at the same time
                with contextlib.suppress(BackendError):
                    error.left = await _what_runs(gate)
            raise
        except _Stuck as one:
            if stuck:
                raise one.error from None
            stuck.add(one.id)
            around = making.Around(gate, release)
            seen, _ = await together(gate.look(), around.ask())
        except _PortTaken as taken:
            refused |= taken.ports
            # Each path begins with what it finds: so does the next one.
            around = making.Around(gate, release)
            seen, _ = await together(gate.look(), around.ask())
            # What runs is not stopped for the sake of its port.
            if not ports.is_left(spec, refused | _in_use(seen)):
                raise taken.error from None


class _Stuck(Exception):
    """A container that its engine will not start whatever is done to it, and perhaps one that is made anew."""

    def __init__(self, id: str, error: CommandFailed) -> None:
        super().__init__(error.problem)
        self.id = id
        self.error = error


class _PortTaken(Exception):
    """A container could not be started with the ports of the host that were chosen for it."""

    def __init__(self, ports: ports.Taken, error: CommandFailed) -> None:
        super().__init__(error.problem)
        self.ports = ports
        self.error = error


async def _switch(
    gate: Gate,
    seen: Seen,
    around: making.Around,
    release: Release,
    values: Mapping[str, str],
    action: str,
    op_id: str,
    refused: Collection[str],
    *,
    served: bool,
) -> Outcome:
    making.refuse_a_foreign_holder(gate, release, around.holder)
    new = await _ready(gate, seen, around, release, values, op_id, refused)
    live = seen.live
    others = [one for one in seen.running if one.id != new.id]
    if action != "none" and await _may_be_ending(gate, seen, around, new):
        await making.stop(gate, new)  # with its grace: clients may still have what was not told yet
        new = replace(new, state="exited")
    if live is not None and live.id == new.id:
        return await _in_place(gate, seen, new, release, others, action, served=served)
    if action == "restart" and live is not None and [one.id for one in others] == [live.id]:
        spec, old = making.spec_of(gate.host, gate.words, release), live.spec
        if old is not None and not can_run_beside(ports.as_made(spec, new.labels), ports.as_made(old, live.labels)):
            return await _beside(gate, seen, new, release, around.inspected(new))
    return await _swap(gate, seen, new, release, others, action)


async def _may_be_ending(gate: Gate, seen: Seen, around: making.Around, new: Container) -> bool:
    """Whether it may have been told to stop, by a worker that died meanwhile: the engine goes on with that, and does not tell.

    So it is with one that runs beside the live one, but for two: one that still has its restart policy, which a stop takes from it first;
    and one that was begun for the release that the last worker here wanted, and was never the live one."""
    if not new.runs or new.is_live:
        return False
    body = around.inspected(new) or await gate.inspect(new.id)
    if body is None:
        return False
    if ((body["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no") != "no":
        return False
    was_live = seen.state.started == {"id": new.id, "at": body["State"]["StartedAt"]}
    return was_live or seen.state.wanted != new.release


def remembering(outcome: Outcome, state: State, release: Release) -> Outcome:
    """The outcome of a switch to ``release``, by which it is among the releases that the register knows from then on."""
    if state.releases.get(release.id, {}).get("digest") != release.digest:
        others = {id: one for id, one in state.releases.items() if id != release.id}
        outcome["state"]["releases"] = {**others, release.id: manifest(release)}
    return outcome


def stands(seen: Seen, release: Release, outcome: Mapping[str, Any]) -> bool:
    """Whether what a switch to ``release`` has put there is there as it was left, where it is asked for once more: the connection was lost
    before its answer came, or before what follows it was done. Not where the engine was restarted meanwhile: that starts nothing which
    waits beside the live one, and what is live only where its restart policy says so. What somebody else wants by now is left alone."""
    new = seen.of(release)
    if seen.state.wanted != release.id or new is None or new.runs:
        return True
    if new.is_live:
        return bool(seen.running)
    return not outcome.get("beside")


async def rejoin(gate: Gate, release: Release) -> None:
    """Whoever died while it retired the old one may have left the new one outside a network, where no check can reach it: it is in all of
    them again."""
    new = (await gate.look()).of(release)
    if new is not None and new.runs:
        spec = making.spec_of(gate.host, gate.words, release)
        await _join(gate, new, spec, with_aliases=_known_by_ports(spec), only_missing=True)


async def retire(gate: Gate, seen: Seen, release: Release) -> Outcome:
    """Ends what ``switch`` began where it answered ``beside``."""
    spec = making.spec_of(gate.host, gate.words, release)
    new = seen.of(release)
    if new is None or not new.runs:
        if seen.live is None or seen.live.release != release.id:
            raise CommandFailed(
                gate.host,
                gate.words,
                f"release {release.id} does not run beside what is to be retired",
                exit_status=None,
                left=UNCHANGED,
                advice="switch to it first",
            )
        return _outcome(seen.current, seen.current)
    previous = seen.current
    others = [one for one in seen.running if one.id != new.id]
    if not new.is_live:
        # It takes no traffic yet: nobody notices that it leaves its networks for a moment.
        await _join(gate, new, spec, with_aliases=True)
        await _take_the_name(gate, seen, new, release)
    await making.set_restart_policy(gate, new.id, restart_policy(spec))
    if others and any(network.aliases for network in spec.networks):
        await asyncio.sleep(_LED_BY_NOW)
    await _read_back(gate, new, release, watched=0.0)  # what runs is not stopped for one that has ended meanwhile
    for one in others:
        await making.stop(gate, one)
    (_, body) = await together(_be_alone(gate, new, release), _glance(gate, new))
    body = await _read_back(gate, new, release, watched=0.0, known=body)
    await _join(gate, new, spec, with_aliases=True, known=body)  # an overtaken worker may have had it leave
    return _outcome(release.id, previous, started=body)


async def withdraw(gate: Gate, seen: Seen, release: Release, *, every: bool = False) -> Outcome:
    """``every``: what runs of other releases is stopped, too."""
    previous = seen.current
    for one in seen.running:
        if every or one.release == release.id:
            await making.stop(gate, one)
    live = seen.live
    if live is not None and live.release == release.id:
        await _rename_away(gate, seen, live)
        live = None
    after = await gate.look()
    if any(one.runs and one.release == release.id for one in after.containers):
        raise _still(gate, after)
    current = live.release if live is not None else None
    return {"current": current, "previous": previous, "state": {"current": current or "", "started": {}}}


async def _stop(gate: Gate, seen: Seen) -> Outcome:
    for one in seen.running:
        await making.stop(gate, one)
    after = await gate.look()
    if after.running:
        raise _still(gate, after)
    return {"current": seen.current, "previous": seen.current, "state": {"current": seen.current or "", "started": {}}}


def _still(gate: Gate, seen: Seen) -> CommandFailed:
    running = ", ".join(one.name for one in seen.running)
    return CommandFailed(
        gate.host,
        gate.words,
        f"{running} still runs after it was stopped",
        exit_status=None,
        advice="see the engine's own log: journalctl -u docker",
    )


async def _ready(
    gate: Gate,
    seen: Seen,
    around: making.Around,
    release: Release,
    values: Mapping[str, str],
    op_id: str,
    refused: Collection[str],
) -> Container:
    """The container that is to be started: the kept one as it was, or one made anew where secrets differ, another one runs with the port
    that was chosen for it, it can't be started (``refused``: such containers, and ports), or there is none. The image must be on the
    engine: a rollback needs no registry."""
    image = around.image
    found = seen.of(release)
    if found is not None and (image is None or found.image == image["Id"]):
        body = around.inspected(found) or await gate.inspect(found.id)
        if (
            body is not None
            and found.id not in refused
            and _has_its_ports(seen, found, refused)
            and await _fits(gate, found, body, release, values)
        ):
            return found
    if image is None:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"release {release.id} is not on the host: there is no image {release.artifact.location}",
            exit_status=None,
            left=UNCHANGED,
            advice="try again: what a host lacks is fetched by it before it is switched",
        )
    spec = making.spec_of(gate.host, gate.words, release)
    missing = sorted({*release.secrets} - {*values}) or sorted({one.source for one in spec.secrets} - {*values})
    if missing:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"the container of {release.id} has to be made anew, and these secrets are not known here: {', '.join(missing)}",
            exit_status=None,
            left=UNCHANGED,
            advice="stage the release again",
        )
    return await making.make(gate, seen, release, values, image, op_id, refused=refused)


def _has_its_ports(seen: Seen, found: Container, refused: Collection[str]) -> bool:
    """Whether it can be started with the ports that were chosen for it, as far as the target's own containers go."""
    return found.runs or not ports.chosen_of(found.labels) & (_in_use(seen) | set(refused))


def _in_use(seen: Seen) -> set[str]:
    """Ports that were chosen for what runs of the target."""
    return {port for one in seen.running for port in ports.chosen_of(one.labels)}


async def _fits(gate: Gate, found: Container, body: Body, release: Release, values: Mapping[str, str]) -> bool:
    """Whether it has the environment and the secrets that it should have. What no value was given for is kept as it is."""
    has = set(body["Config"].get("Env") or [])
    wanted = making.environment(release, values)
    if any(f"{name}={value}" not in has for name, value in wanted.items()):
        return False
    spec = making.spec_of(gate.host, gate.words, release)
    return not spec.secrets or await secret_files.hold(gate, found.id, spec, values)


async def _in_place(
    gate: Gate, seen: Seen, new: Container, release: Release, others: list[Container], action: str, *, served: bool
) -> Outcome:
    """The live one is the one that is wanted: what was started beside it goes, and it stays as it is. Where there was nothing beside it, it
    is started anew, unless a router leads requests to it (``served``)."""
    spec = making.spec_of(gate.host, gate.words, release)
    for one in others:
        await making.stop(gate, one)
    if action == "none":
        return _outcome(release.id, seen.current)
    if new.state == "restarting" or (new.runs and action == "restart" and not others and not served):
        await making.stop(gate, new)
        started = True
    else:
        started = not new.runs
    if new.state == "paused" and not started:
        await gate.act_if_there(lambda client: client.unpause(new.id), 409, 500)
    await _join(gate, new, spec, with_aliases=True)
    known = await _start(gate, new, release) if started else None
    body = await _read_back(gate, new, release, watched=_watched(release) if started else 0.0, known=known)
    await _be_alone(gate, new, release)
    await _join(gate, new, spec, with_aliases=True, known=body)  # an overtaken worker may have had it leave
    await making.set_restart_policy(gate, new.id, restart_policy(spec))
    return _outcome(release.id, seen.current, started=body)


async def _beside(gate: Gate, seen: Seen, new: Container, release: Release, known: Body | None) -> Outcome:
    """Starts it without the service's name in its networks: nobody is led to it before it is healthy. ``known``: the container, where it
    was inspected beside the first look.

    One that a router finds by its port has the name from the beginning: to get it later it would have to leave its networks for a moment,
    and with them its published port, when the router already sends requests there."""
    spec = making.spec_of(gate.host, gate.words, release)
    # One that runs was begun by a worker that died, perhaps between leaving a network and joining it again.
    await _join(gate, new, spec, with_aliases=_known_by_ports(spec), only_missing=new.runs, known=known)
    body = None if new.runs else await _start(gate, new, release)
    await _read_back(gate, new, release, watched=_watched(release), known=body)
    return {"current": seen.current, "previous": seen.current, "beside": True, "state": {"current": seen.current}}


def _known_by_ports(spec: ContainerSpec) -> bool:
    """Whether it publishes a range: two of it are to be reached side by side."""
    return any("-" in port.published for port in spec.ports)


async def _swap(
    gate: Gate, seen: Seen, new: Container, release: Release, others: list[Container], action: str
) -> Outcome:
    """Stops what runs, then starts the new one: they can't run at the same time."""
    spec = making.spec_of(gate.host, gate.words, release)
    await _join(gate, new, spec, with_aliases=True)
    for one in others:
        await making.stop(gate, one)
    await _take_the_name(gate, seen, new, release)
    if action == "none":
        return _outcome(release.id, seen.current)
    known = None if new.runs else await _start(gate, new, release)
    body = await _read_back(gate, new, release, watched=_watched(release), known=known)
    await _be_alone(gate, new, release)
    await _join(gate, new, spec, with_aliases=True, known=body)  # an overtaken worker may have had it leave
    await making.set_restart_policy(gate, new.id, restart_policy(spec))
    return _outcome(release.id, seen.current, started=body)


async def _be_alone(gate: Gate, new: Container, release: Release) -> None:
    """Stops what has come up since the first look, and takes the name again: an older worker, which was killed or overtaken, had told the
    engine to start something, or to rename."""
    seen = await gate.look()
    for one in seen.running:
        if one.id != new.id:
            await making.stop(gate, one)
    if any(one.id == new.id and not one.is_live for one in seen.containers):
        await _take_the_name(gate, seen, new, release)


async def _take_the_name(gate: Gate, seen: Seen, new: Container, release: Release) -> None:
    name = names.live_name(release)
    for left in reversed(range(_TRIES)):
        for one in seen.containers:
            if one.is_live and one.id != new.id:
                await _rename_away(gate, seen, one)
        try:
            await gate.act(lambda client: client.rename(new.id, name), undo=overtaken.of_rename(gate, new))
        except EngineRefused as error:
            holder = await gate.inspect(name)
            if holder is not None and holder["Id"] == new.id:
                return
            if holder is None or error.status != 409:
                raise
            seen = await gate.look()  # a newer one has taken it, or an older worker's last call came in between
            making.refuse_a_foreign_holder(gate, release, holder)
            if not left:
                raise making.foreign(gate, name, holder) from None
        else:
            return


async def _rename_away(gate: Gate, seen: Seen, old: Container) -> None:
    kept = names.kept_name(old.labels[names.NAME], old.release)
    another = f"{kept}.{old.id[:8]}"  # replaced by one of the same release: ``finish`` removes it
    undo = overtaken.of_rename(gate, old)
    if not any(one.name == kept and one.id != old.id for one in seen.containers):
        try:
            await gate.act_if_there(lambda client: client.rename(old.id, kept), undo=undo)
        except EngineRefused as error:
            now = await gate.inspect(old.id)
            if now is None or now["Name"].removeprefix("/") != old.name:
                return  # somebody was quicker
            if error.status != 409:  # else somebody has that name
                raise
        else:
            return
    await gate.act_if_there(lambda client: client.rename(old.id, another), undo=undo)


async def _join(
    gate: Gate,
    container: Container,
    spec: ContainerSpec,
    *,
    with_aliases: bool,
    only_missing: bool = False,
    known: Body | None = None,
) -> None:
    """Has it in each of its networks with the service's names, or without; what is so already is left alone. ``known``: the container as
    it was inspected just now."""
    if spec.network_mode or not any(network.aliases for network in spec.networks):
        return
    body = known or await gate.inspect(container.id)
    joined: Mapping[str, Any] = body["NetworkSettings"]["Networks"] if body is not None else {}
    ordered = sorted(spec.networks, key=lambda network: (-network.priority, network.name))
    for network in ordered:
        has = set((joined.get(network.name) or {}).get("Aliases") or ())
        wanted = set(network.aliases)
        fits = wanted <= has if with_aliases else not wanted & has
        if network.name in joined and (fits or only_missing):
            continue
        if network.name in joined:
            await making.leave(gate, container.id, network)
        try:
            await making.join(gate, container.id, network.name, endpoint(network, with_aliases=with_aliases))
        except EngineRefused as error:
            # What runs is not made anew for that.
            if error.status != 404 or container.runs or await gate.inspect(container.id) is None:
                raise
            said = f"the container of {container.release} can't be started: {clean(error.explanation)}"
            failure = CommandFailed(
                gate.host, gate.words, said, exit_status=None, left=await _what_runs(gate), advice=_LOOK_WHAT_IS_GONE
            )
            raise _Stuck(container.id, failure) from None


async def _glance(gate: Gate, new: Container) -> Body | None:
    """The container, asked for at the same time as something else, which comes first where it fails; None: it is to be asked for anew."""
    with contextlib.suppress(BackendError):
        return await gate.inspect(new.id)
    return None


async def _start(gate: Gate, new: Container, release: Release) -> Body | None:
    """The container, where it was read right after it was started."""
    body: Body | None = None
    try:
        await gate.act(lambda client: client.start(new.id), undo=overtaken.of_start(gate, new))
        # At once: where a newer worker came before it, it runs beside what that one has put there.
        body, _ = await together(_glance(gate, new), gate.check())
    except EngineRefused as error:
        if error.status == 304:
            return None
        body = await gate.inspect(new.id)
        gone = error.status == 404  # the container, or what it needs: one of its networks
        if gone and body is None:
            return None
        status = body["State"].get("ExitCode") if body is not None else None
        said = clean(error.explanation)
        in_use = any(words in said for words in IN_USE)
        advice = "see what has that port: ss -ltnp, on the host" if in_use else "correct the service's description"
        if gone:
            advice = _LOOK_WHAT_IS_GONE
        failure = CommandFailed(
            gate.host,
            gate.words,
            f"the container of {release.id} was not started: {said}",
            exit_status=status if status in (126, 127) and not in_use else None,
            left=await _what_runs(gate),
            advice=advice,
        )
        taken = ports.named_in(said, ports.chosen_of(new.labels)) if in_use else frozenset()
        if taken:
            raise _PortTaken(taken, failure) from None
        if gone or all(words in said for words in _STUCK):
            raise _Stuck(new.id, failure) from None
        raise failure from None
    return body


def _watched(release: Release) -> float:
    """Where health checks follow they look again and again."""
    return WATCHED if release.health is None else 0.0


async def _read_back(
    gate: Gate, new: Container, release: Release, *, watched: float, known: Body | None = None
) -> Body:
    """The running container as the engine has it; ``known``: as it had it just now. Raises ``CommandFailed`` where it does not run."""
    until = asyncio.get_running_loop().time() + watched
    while True:
        body = known or await gate.inspect(new.id)
        known = None
        if body is None:
            raise BackendError(gate.host, gate.words, f"the container {new.name} was removed by somebody else")
        state = body["State"]
        if not state.get("Running") or state.get("Restarting"):
            raise await _ended(gate, new, release, body)
        if asyncio.get_running_loop().time() >= until:
            break
        await asyncio.sleep(0.1)
    if body["Config"]["Labels"].get(names.DIGEST) != release.digest or body["Image"] != new.image:
        raise CommandFailed(gate.host, gate.words, f"what runs as {new.name} is not {release.id}", exit_status=None)
    gate.running = body
    return body


async def _ended(gate: Gate, new: Container, release: Release, body: Body) -> CommandFailed:
    state = body["State"]
    status = int(state.get("ExitCode") or 0)
    if refused := clean(str(state.get("Error") or "")).strip():
        # The last start failed, and the log is that of a former run. Whoever starts it sets 126 and 127 for the program alone.
        return CommandFailed(
            gate.host,
            gate.words,
            f"the container of {release.id} was not started: {refused}",
            exit_status=status if status in (126, 127) else None,
            left=await _what_runs(gate),
        )
    raw: bytes = await gate.ask(lambda client: client.logs(new.id, tail=_TAIL))
    output = clean(raw.decode("utf-8", "replace")).strip()
    last = f": {output.splitlines()[-1]}" if output else ""
    why = ", killed for want of memory" if state.get("OOMKilled") else ""
    return CommandFailed(
        gate.host,
        gate.words,
        f"the container of {release.id} ended with status {status}{why}{last}",
        exit_status=status,
        output=output,
        left=await _what_runs(gate),
    )


async def _what_runs(gate: Gate) -> str:
    seen = await gate.look()
    running = [f"{one.release} ({one.name})" for one in seen.running]
    if running:
        return f"{' and '.join(running)} {'runs' if len(running) == 1 else 'run'} on"
    kept = [one.release for one in seen.containers if not one.is_live]
    return "Nothing of it runs there now" + (f"; kept and stopped: {', '.join(kept)}" if kept else "")


def _outcome(current: str | None, previous: str | None, *, started: Body | None = None) -> Outcome:
    state: dict[str, Any] = {"current": current or ""}
    if started is not None:
        state["started"] = {"id": started["Id"], "at": started["State"]["StartedAt"]}
    return {"current": current, "previous": previous, "state": state}
